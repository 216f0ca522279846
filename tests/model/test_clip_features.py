"""A tiny CLIP: features as its own forward pass gives them, and crops that are whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from model.clip_features import ClipFeatures
from model.hub import HubError
from tests.model.tiny_clip import save_tiny_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip"))


def test_features_are_those_of_the_models_own_forward_pass(folder: Path) -> None:
    clip = ClipFeatures(str(folder))
    texts, image = ["a dog", "the big red cat", "cat " * 50], Image.new("RGB", (40, 30), (200, 30, 90))
    found, crops = clip.of_texts(texts), clip.of_crops(image, [(0, 0, 40, 30)])
    tokens = clip.tokenizer(texts, padding=True, truncation=True, max_length=16, return_tensors="pt")
    colour = torch.tensor([200, 30, 90]) / 255
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    pixels = ((colour - mean) / std)[None, :, None, None].expand(1, 3, 32, 32)
    with torch.no_grad():
        out = clip.model(**{name: tokens[name] for name in ("input_ids", "attention_mask")}, pixel_values=pixels)
        ends = tokens["input_ids"].eq(1).int().argmax(1)  # of <|endoftext|>, whose state CLIP takes for the text's
        pooled_texts = out.text_model_output.last_hidden_state[torch.arange(3), ends]
        pooled_crop = clip.model.vision_model.post_layernorm(out.vision_model_output.last_hidden_state[:, 0])
    for ours, theirs in (
        (found.before, pooled_texts),
        (found.after, out.text_embeds),
        (crops.before, pooled_crop),
        (crops.after, out.image_embeds),
    ):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)
    assert found.before.shape == (3, 16) and found.after.shape == (3, 8) and crops.before.shape == (1, 24)


def test_a_crop_is_the_box_and_nothing_else(folder: Path) -> None:
    clip = ClipFeatures(str(folder))
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[10:20, 5:45] = (250, 10, 10)
    box, alone = (5.0, 10.0, 45.0, 20.0), Image.new("RGB", (40, 10), (250, 10, 10))
    inside = clip.of_crops(Image.fromarray(pixels), [box, (0.0, 0.0, 60.0, 40.0)])
    np.testing.assert_allclose(inside.after[0], clip.of_crops(alone, [(0, 0, 40, 10)]).after[0], atol=1e-5)
    assert np.abs(inside.after[0] - inside.after[1]).max() > 1e-3
    thin = clip.of_crops(Image.fromarray(pixels), [(59.5, 39.5, 60.0, 40.0)])  # half a pixel is one
    assert np.isfinite(thin.after).all()


def test_what_is_no_clip_is_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(HubError, match=r"no model\.safetensors"):
        ClipFeatures(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(HubError, match="another model than CLIP"):
        ClipFeatures(str(tmp_path))
    shutil.copy(folder / "config.json", tmp_path)
    with pytest.raises(HubError, match="the weights cannot be opened as a CLIPModel") as error:
        ClipFeatures(str(tmp_path))
    assert "\n" not in str(error.value)


def test_weights_that_miss_a_tensor_are_an_error(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    state = load_file(tmp_path / "model.safetensors")
    del state["text_projection.weight"]
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(HubError, match="the weights lack 1 tensors of a CLIPModel"):
        ClipFeatures(str(tmp_path))
