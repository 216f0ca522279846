"""What all families share: texts, tokens, and checkpoints that are whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from model import teachers
from model.checkpoint import WeightsError
from model.pretrained import open_network
from model.teacher import NO_TOKENS, OVER_LIMIT, TeacherError
from model.teachers.detector import (
    NETWORK,
    category_texts,
    compute_boxes_exactly,
    enough_positions,
    open_tokenizer,
    phrase_texts,
    read_phrases,
    remembered,
)
from model.teachers.transformers import FAMILIES
from schemas.config import LabelConfig
from tests.model.teachers.conftest import Folder


@pytest.fixture
def copied(folder_of: Folder, tmp_path: Path) -> Callable[[str], Path]:
    return lambda family: Path(shutil.copytree(folder_of(family), tmp_path / "copy"))


def test_phrases_as_texts() -> None:
    assert phrase_texts("a dog and a cat", [[(0, 5)], [(0, 5), (10, 15)], []]) == ["a dog", "a dog a cat", ""]
    assert category_texts(["traffic_light", "cup (mug)"]) == ["traffic light", "cup "]


def test_phrases_are_read_one_by_one(folder_of: Folder) -> None:
    encode = open_tokenizer(folder_of("owlv2"))
    found, dropped = read_phrases(["dog", "", "a long text", "cat"], encode, 6)
    assert list(found) == [0, 3] and dropped == [(1, NO_TOKENS), (2, OVER_LIMIT)]
    assert [len(ids) for ids in found.values()] == [5, 5]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tokenizer_neither_cuts_nor_pads_nor_takes_text_for_a_special_token(family: str, folder_of: Folder) -> None:
    encode = open_tokenizer(folder_of(family))
    assert len(encode("dog " * 300).ids) >= 302
    special = "[SEP]" if "dino" in family else "<|endoftext|>"
    plain = encode("x")
    assert encode(f"a {special} b").ids.count(plain.ids[-1]) == plain.ids.count(plain.ids[-1]) == 1
    assert encode("\ud83d x").ids[-1] == plain.ids[-1]  # a lone surrogate


def test_texts_are_embedded_once() -> None:
    calls: list[tuple[int, ...]] = []

    def embed(ids: tuple[int, ...]) -> torch.Tensor:
        calls.append(ids)
        return torch.zeros(1)

    embedding = remembered(embed)
    assert embedding((1, 2)) is embedding((1, 2)) and calls == [(1, 2)]


def test_positions_are_counted_over_all_maps() -> None:
    class Limits:
        num_feature_levels, num_queries = 2, 4 * 3 + 2 * 2

    assert enough_positions(Limits, (25, 17)) and not enough_positions(Limits, (24, 17))


def test_heads_of_boxes_compute_in_full() -> None:
    model = nn.Module()
    model.bbox_embed = nn.ModuleList([nn.Linear(4, 4)])
    model.box_head, model.class_head = nn.Linear(4, 4), nn.Linear(4, 4)
    compute_boxes_exactly(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = torch.randn(2, 4).bfloat16()
        types = [head(x).dtype for head in (model.bbox_embed[0], model.box_head, model.class_head)]
    assert types == [torch.float32, torch.float32, torch.bfloat16]


def test_a_weight_that_is_missing_is_not_made_up(copied: Callable[[str], Path]) -> None:
    folder = copied("owlv2")
    weights = load_file(folder / "model.safetensors")
    del weights["box_head.dense0.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"lack 1 tensors of a .*, e\.g\. box_head\.dense0\.weight"):
        open_network(folder, NETWORK)
    label = LabelConfig(teacher="transformers", weights=str(folder), device="cpu")
    with pytest.raises(TeacherError, match=r"weights of transformers: .*lack 1 tensors"):
        teachers.open_teacher(label)


def test_a_weight_of_another_shape_is_an_error(copied: Callable[[str], Path]) -> None:
    folder = copied("owlv2")
    weights = load_file(folder / "model.safetensors")
    weights["box_head.dense0.bias"] = torch.zeros(3)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"weights (lack|cannot be opened)"):
        open_network(folder, NETWORK)


def test_damaged_files_are_named(copied: Callable[[str], Path]) -> None:
    folder = copied("owlv2")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(WeightsError, match="the tokenizer cannot be opened"):
        open_tokenizer(folder)
    (folder / "model.safetensors").write_bytes(b"\x08" * 40)
    with pytest.raises(WeightsError, match="the weights cannot be opened"):
        open_network(folder, NETWORK)


def test_weights_of_half_precision_are_opened_in_full(copied: Callable[[str], Path]) -> None:
    folder = copied("owlvit")
    weights = {name: value.half() for name, value in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    assert {weight.dtype for weight in open_network(folder, NETWORK).parameters()} == {torch.float32}
