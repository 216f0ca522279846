"""Networks of images alone give the library's vectors; image-text models give theirs; others are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from model.hub import HubError
from model.similarity.embedder import IMAGES_ALONE, knows_texts, open_embedder
from model.similarity.network import Similarity
from tests.similarity_models import FAMILIES, save_checkpoint, save_image_network, stretched_processor


@pytest.mark.parametrize("family", IMAGES_ALONE)
def test_vectors_are_those_of_the_library(family: str, tmp_path: Path) -> None:
    folder = save_image_network(family, tmp_path)
    draw = np.random.default_rng(3)
    images = [draw.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in ((40, 60), (90, 33))]
    embedder = open_embedder(folder)
    (found,) = embedder.image_vectors([[embedder.pixels.whole(image) for image in images]])
    network = getattr(transformers, IMAGES_ALONE[family]).from_pretrained(folder).eval()
    with torch.no_grad():
        tokens = network(**stretched_processor()(images=images, return_tensors="pt")).last_hidden_state
    expected = torch.nn.functional.normalize(tokens[:, 0], dim=-1)  # of the class token
    assert (found - expected).abs().max() < 1e-5 and (found[0] - found[1]).abs().max() > 1e-2
    assert not knows_texts(folder) and not isinstance(embedder, Similarity)


@pytest.mark.parametrize("family", FAMILIES)
def test_image_text_models_embed_images_too(family: str, tmp_path: Path) -> None:
    folder = save_checkpoint(family, tmp_path)
    assert knows_texts(folder) and isinstance(open_embedder(folder), Similarity)


def test_other_networks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "owlv2"}))
    with pytest.raises(HubError, match=r"of the type 'owlv2'; those that can be used are dinov2, .*siglip2"):
        open_embedder(tmp_path)


def test_a_checkpoint_has_to_say_how_its_images_are_prepared(tmp_path: Path) -> None:
    folder = save_image_network("dinov2", tmp_path)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(HubError, match=r"no preprocessor_config\.json in it"):
        knows_texts(folder)
