"""The network against an independent numpy one and against the numbers that it recorded, with nothing but the clone."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from model.glip import Glip
from model.variants import FusionSpec, SwinSpec, TextSpec, Variant

spec = importlib.util.spec_from_file_location("reference", Path(__file__).parent / "reference.py")
assert spec is not None and spec.loader is not None
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)
TINY = reference.TINY


def tiny(fused: bool) -> Glip:
    """A Swin GLIP of toy size with made-up weights, in float64."""
    text = TextSpec(
        TINY["hidden"],
        TINY["layers"],
        TINY["text_heads"],
        TINY["intermediate"],
        TINY["positions"],
        TINY["vocabulary"],
        TINY["hidden"],
    )
    variant = Variant(
        "tiny",
        SwinSpec(TINY["width"], TINY["depths"], TINY["heads"], TINY["window"]),
        text=text,
        fusion=FusionSpec(TINY["fusion_width"], TINY["fusion_heads"]) if fused else None,
        tower=TINY["tower"],
        channels=TINY["channels"],
        old_classes=0,
    )
    glip = Glip(variant).double().eval()
    state = {name: torch.from_numpy(reference.made_up(name, value.shape)) for name, value in glip.state_dict().items()}
    glip.load_state_dict(state)
    return glip


def of_reference(fused: bool) -> dict[str, np.ndarray]:
    state = {name: value.numpy() for name, value in tiny(fused).state_dict().items()}
    return reference.forward(state, *reference.inputs(), fused=fused)


def recorded_now() -> dict[str, np.ndarray]:
    return {
        f"{prefix}{name}": value
        for prefix, fused in (("fused_", True), ("late_", False))
        for name, value in of_reference(fused).items()
    }


def test_the_recorded_numbers_are_the_references() -> None:
    recorded = np.load(reference.RECORDED)
    now = recorded_now()
    assert set(recorded.files) == set(now)
    for name, value in now.items():
        np.testing.assert_allclose(recorded[name], value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fold", [None, True, False])
@pytest.mark.parametrize("fused", [True, False])
def test_the_network_gives_the_recorded_numbers(fused: bool, fold: bool | None) -> None:
    recorded = np.load(reference.RECORDED)
    glip = tiny(fused)
    for module in glip.modules():
        if hasattr(module, "fold"):
            module.fold = fold
    pixels, ids, mask = (torch.from_numpy(x) for x in reference.inputs())
    longer = torch.nn.functional.pad(mask, (0, 5))  # as the official input, padded past the longest caption
    outputs = glip.head_outputs(pixels, torch.nn.functional.pad(ids, (0, 5)), longer)
    spread = []
    for level, output in zip(range(3, 8), outputs, strict=True):
        for kind, value in zip(reference.KINDS, output, strict=True):
            expected = recorded[f"{'fused' if fused else 'late'}_{kind}_P{level}"]
            real = mask.bool()[:, None].expand(value.shape).numpy() if kind == "token_logits" else np.isfinite(expected)
            np.testing.assert_allclose(value.detach().numpy()[real], expected[real], atol=1e-5)
            spread.append(expected[real].std())
    assert min(spread[:6]) > 0.05  # signals are distinct, so that a slip shows


def test_the_network_in_float32_is_as_close_as_float32_is() -> None:
    recorded = np.load(reference.RECORDED)
    pixels, ids, mask = reference.inputs()
    outputs = (
        tiny(True).float().head_outputs(torch.from_numpy(pixels).float(), torch.from_numpy(ids), torch.from_numpy(mask))
    )
    for level, output in zip(range(3, 8), outputs, strict=True):
        difference = output.token_logits[0].detach().numpy() - recorded[f"fused_token_logits_P{level}"][0]
        assert np.abs(difference).max() < 1e-3
