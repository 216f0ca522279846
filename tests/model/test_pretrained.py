from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from model.hub import HubError
from model.pretrained import image_settings, library, open_network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 20,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    CLIPTextModel(CLIPTextConfig(**sizes)).half().save_pretrained(tmp_path)
    return tmp_path


def test_a_network_is_opened_in_full_precision_and_for_inference(folder: Path) -> None:
    network = open_network(folder, "CLIPTextModel")
    saved = load_file(folder / "model.safetensors")
    assert saved and {value.dtype for value in saved.values()} == {torch.float16}
    opened = network.state_dict()
    assert all(torch.equal(opened[name], value.float()) for name, value in saved.items())
    assert not network.training and not any(weight.requires_grad for weight in network.parameters())


def test_a_weight_that_is_missing_or_of_another_shape_is_not_made_up(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = next(iter(sorted(weights)))
    for wrong in (None, torch.zeros(3, 3, 3)):
        changed = {key: value for key, value in weights.items() if key != name}
        save_file(
            changed if wrong is None else {**changed, name: wrong}, folder / "model.safetensors", {"format": "pt"}
        )
        with pytest.raises(
            HubError, match=r"the weights (lack 1 tensors of|cannot be opened as) a CLIPTextModel"
        ) as error:
            open_network(folder, "CLIPTextModel")
        assert "\n" not in str(error.value)


def test_damaged_weights_are_named_in_one_line(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x08" * 40)
    with pytest.raises(HubError, match="the weights cannot be opened as a CLIPTextModel: ") as error:
        open_network(folder, "CLIPTextModel")
    assert str(folder) in str(error.value) and "\n" not in str(error.value)


def test_without_transformers_the_error_names_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(HubError, match="needs the package transformers, which is not installed"):
        library(folder)


def test_image_settings_of_both_layouts(tmp_path: Path) -> None:
    assert image_settings(tmp_path) is None
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": {"size": 2}, "tokenizer": {}}))
    assert image_settings(tmp_path) == {"size": 2}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 1}))
    assert image_settings(tmp_path) == {"size": 1}
    (tmp_path / "preprocessor_config.json").write_text("[")
    with pytest.raises(HubError, match="cannot be read as JSON"):
        image_settings(tmp_path)
