"""Vectors of tiny random checkpoints are those of the library's own models, whatever the batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from model.hub import HubError
from model.similarity.network import FAMILIES as KNOWN
from model.similarity.network import Similarity, canonical, family_of
from model.similarity.pixels import Pixels
from tests.similarity_models import FAMILIES, TOKENS, processor_of, save_checkpoint, tokenizer_of

TEXTS = ["a Red Dog", "cat", "many letters, far too many for it", "it's, blue", "x"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("models")
    return {family: save_checkpoint(family, top / family) for family in FAMILIES}


def images() -> list[Pixels]:
    draw = np.random.default_rng(6)
    return [draw.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in ((40, 60), (90, 33), (9, 9))]


def library(folder: Path, family: str) -> Any:
    return getattr(transformers, KNOWN[family].network).from_pretrained(folder).eval()


@torch.no_grad()
def vectors_of_texts(folder: Path, family: str) -> Tensor:
    """By the library: each text alone, through its own tokenizer."""
    network, tokenizer, found = library(folder, family), tokenizer_of(family), []
    for text in TEXTS:
        written = {"siglip": canonical(text), "siglip2": text.lower()}.get(family, text)
        padding = "max_length" if "siglip" in family else False
        options = {"padding": padding, "truncation": True, "max_length": TOKENS, "return_tensors": "pt"}
        found.append(network.get_text_features(**tokenizer(written, **options)).pooler_output)
    return torch.nn.functional.normalize(torch.cat(found), dim=-1)


@torch.no_grad()
def vectors_of_images(folder: Path, family: str) -> Tensor:
    found = [
        library(folder, family).get_image_features(**processor_of(family)(images=[image], return_tensors="pt"))
        for image in images()
    ]
    return torch.nn.functional.normalize(torch.cat([output.pooler_output for output in found]), dim=-1)


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_the_library(folders: dict[str, Path], family: str) -> None:
    model = Similarity(folders[family], batch_size=2)
    texts, cut = model.text_vectors(TEXTS)
    assert (texts - vectors_of_texts(folders[family], family)).abs().max() < 1e-5
    assert cut == [False, False, True, False, False]
    (found,) = model.image_vectors([[model.pixels.whole(image) for image in images()]])
    assert (found - vectors_of_images(folders[family], family)).abs().max() < 1e-5
    assert (found @ texts.T).abs().max() < 1 and found.std(0).min() > 1e-3  # they tell images apart


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_change_nothing_but_the_last_digits(folders: dict[str, Path], family: str) -> None:
    one, many = (Similarity(folders[family], batch_size=size) for size in (1, 64))
    prepared = [one.pixels.crop(image) for image in images()]
    groups = [prepared[:1], prepared[1:], prepared, prepared[2:]]
    found, expected = list(many.image_vectors(iter(groups))), list(one.image_vectors(groups))
    assert [len(vectors) for vectors in found] == [1, 2, 3, 1]
    for mine, alone in zip(found, expected, strict=True):
        assert (mine - alone).abs().max() < 1e-5
    assert (one.text_vectors(TEXTS)[0] - many.text_vectors(TEXTS)[0]).abs().max() < 1e-5
    assert torch.equal(many.text_vectors(TEXTS)[0], many.text_vectors(list(TEXTS))[0])


def test_no_texts_give_nothing(folders: dict[str, Path]) -> None:
    assert Similarity(folders["siglip"]).text_vectors([])[1] == []


def test_a_probability_follows_from_a_cosine(folders: dict[str, Path]) -> None:
    network = library(folders["siglip"], "siglip")
    assert Similarity(folders["siglip"]).logits == pytest.approx(
        {"scale": network.logit_scale.exp().item(), "bias": network.logit_bias.item()}
    )
    assert Similarity(folders["clip"]).logits.keys() == {"scale"}


def test_siglip_reads_words_alone() -> None:
    assert canonical("  A dog's  Red-hot,\tball. ") == "a dogs redhot ball"


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("config.json", {"model_type": "bert"}, "a model of the type 'bert'; those that can be used are clip"),
        ("tokenizer.json", None, r"no tokenizer\.json in it"),
        ("preprocessor_config.json", None, r"no preprocessor_config\.json in it"),
    ],
)
def test_what_cannot_rescore_is_told_before_anything_is_opened(
    tmp_path: Path, file: str, content: Any, problem: str
) -> None:
    folder = save_checkpoint("clip", tmp_path)
    assert family_of(folder).network == "CLIPModel"
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(json.dumps(content))
    with pytest.raises(HubError, match=problem):
        family_of(folder)


def test_weights_of_another_model_are_refused(tmp_path: Path, folders: dict[str, Path]) -> None:
    folder = save_checkpoint("clip", tmp_path)
    (folder / "model.safetensors").write_bytes((folders["siglip"] / "model.safetensors").read_bytes())
    with pytest.raises(HubError, match=r"the weights (lack|cannot be opened)"):
        Similarity(folder)
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(HubError, match="the weights cannot be opened"):
        Similarity(folder)
