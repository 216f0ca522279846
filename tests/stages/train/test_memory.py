"""What fake tensors say of memory, beside real ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model.glip import Glip
from model.variants import NONE, get_variant
from stages.train.flops import forward_flops
from stages.train.memory import CountedNetwork, Kept, blocks, kept_bytes

SIZE = (2, 96, 128, 20)  # images, height, width, tokens


def counted(precision: str = "fp32", frozen: tuple[str, ...] = ()) -> CountedNetwork:
    return CountedNetwork("glip-nano", NONE, precision, frozen)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_fake_tensors_keep_what_real_ones_keep(precision: str, checkpointing: bool) -> None:
    real, fake = Glip.from_variant("glip-nano").train(), counted(precision)
    real.precision = precision
    real.use_checkpointing()
    between, _ = kept_bytes(real, *SIZE)
    real.use_checkpointing(False)
    whole, largest = kept_bytes(real, *SIZE)
    assert between < whole / 2 and 0 < largest < whole
    expected = between + largest if checkpointing else whole
    assert fake.activations_bytes(*SIZE, checkpointing) == pytest.approx(expected, rel=0.01)


def test_published_regularisation_keeps_its_masks() -> None:
    plain = CountedNetwork("glip-t", NONE, "bf16").activations_bytes(1, 96, 128, 20, checkpointing=False)
    published = CountedNetwork("glip-t", get_variant("glip-t").published, "bf16")
    assert published.activations_bytes(1, 96, 128, 20, checkpointing=False) > plain


def test_twice_as_many_images_or_pixels_keep_about_twice_as_much() -> None:
    once = counted().activations_bytes(2, 192, 256, 20, checkpointing=False)
    for more in ((4, 192, 256), (2, 384, 256)):
        assert counted().activations_bytes(*more, 20, checkpointing=False) == pytest.approx(2 * once, rel=0.1)


def test_blocks_are_those_that_checkpointing_recomputes() -> None:
    with torch.device("meta"):
        glip = Glip(get_variant("glip-t"))
    kinds = [type(block).__name__ for block in blocks(glip)]
    assert kinds == ["SwinBlock"] * 12 + ["Fusion", "BertLayer", "DyConv"] * 6


def test_each_storage_counts_once_and_weights_do_not() -> None:
    layer = nn.Linear(4, 8)
    x = torch.ones(3, 4, requires_grad=True)
    kept = Kept(layer)
    with torch.autograd.graph.saved_tensors_hooks(kept.add, lambda saved: saved):
        y = layer(x)  # keeps x
        (y.relu() * y.exp()).sum()  # keep their results, for themselves and for the product
    assert kept.bytes == 4 * (3 * 4 + 3 * 8 + 3 * 8)


def test_the_largest_block_is_that_of_its_own_bytes() -> None:
    small, large = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid()), nn.Sequential(nn.Linear(4, 400), nn.Sigmoid())
    model = nn.ModuleList([small, large])
    kept = Kept(model)
    x = torch.ones(3, 4, requires_grad=True)
    with kept.by_block([small, large]), torch.autograd.graph.saved_tensors_hooks(kept.add, lambda saved: saved):
        large(small(x))
    assert kept.largest == 4 * 3 * 400  # the sigmoid's; what it takes in is kept by the block before
    assert kept.bytes == 4 * 3 * (4 + 4 + 400)


def test_weights_gradients_optimiser_and_average() -> None:
    glip = Glip.from_variant("glip-nano")
    every = sum(parameter.numel() for parameter in glip.parameters())
    text = sum(parameter.numel() for parameter in glip.language_backbone.parameters())
    fixed = sum(parameter.numel() for parameter in glip.parameters() if not parameter.requires_grad)
    assert counted().weights_bytes(ema=True) == 4 * (5 * every - 3 * fixed)
    assert counted().weights_bytes(ema=False) == 4 * (4 * every - 3 * fixed)
    frozen = counted(frozen=("language_backbone.",))
    assert frozen.weights_bytes(ema=False) == 4 * (4 * every - 3 * (fixed + text))


def test_flops_are_those_of_real_tensors() -> None:
    assert counted().flops(96, 128, 20) == forward_flops(Glip.from_variant("glip-nano").eval(), 96, 128, 20)
