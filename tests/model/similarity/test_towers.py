"""A tiny CLIP: features as its own forward pass gives them, and crops that are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from model.hub import HubError
from model.similarity.towers import Towers
from tests.similarity_models import TOKENS, save_checkpoint, tokenizer_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint("clip", tmp_path_factory.mktemp("models") / "clip")


def test_texts_are_those_of_the_library(folder: Path) -> None:
    """After the projection by the model's own method; before it, the state at the end of each text."""
    texts = ["a dog", "the big red cat", "cat " * 50]
    network: Any = transformers.CLIPModel.from_pretrained(folder)
    tokenizer, found = tokenizer_of("clip"), Towers(str(folder)).of_texts(texts)
    for number, text in enumerate(texts):
        inputs = tokenizer(text, truncation=True, max_length=TOKENS, return_tensors="pt")
        with torch.no_grad():
            states = network.text_model(**inputs).last_hidden_state[0]
            after = network.get_text_features(**inputs).pooler_output[0]
        np.testing.assert_allclose(found.before[number], states[-1].numpy(), atol=1e-5)
        np.testing.assert_allclose(found.after[number], (after / after.norm()).numpy(), atol=1e-5)


def test_a_crop_is_the_box_and_nothing_else(folder: Path) -> None:
    towers = Towers(str(folder))
    network: Any = transformers.CLIPModel.from_pretrained(folder)
    side = network.config.vision_config.image_size
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:20, 5:45] = (250, 10, 10)
    found = towers.of_crops(image, [(5.0, 10.0, 45.0, 20.0), (0.0, 0.0, 60.0, 40.0), (59.5, 39.5, 60.0, 40.0)])
    mean, deviation = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    colour = torch.tensor((np.array([250, 10, 10]) / 255 - mean) / deviation, dtype=torch.float32)
    with torch.no_grad():
        output = network.vision_model(pixel_values=colour[None, :, None, None].expand(1, 3, side, side))
        before = network.vision_model.post_layernorm(output.last_hidden_state[:, 0])[0]
        after = network.visual_projection(before)
    np.testing.assert_allclose(found.before[0], before.numpy(), atol=1e-4)
    np.testing.assert_allclose(found.after[0], (after / after.norm()).numpy(), atol=1e-5)
    assert np.abs(found.after[0] - found.after[1]).max() > 1e-3  # the image around it would show
    assert np.isfinite(found.after[2]).all()  # half a pixel is one


def test_what_is_no_clip_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="another type than CLIP"):
        Towers(str(save_checkpoint("siglip", tmp_path / "siglip")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(HubError, match=r"no config\.json"):
        Towers(str(tmp_path / "empty"))
