"""The dynamic head's block: how levels are read and mixed, and the activation, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model.deform import TAPS
from model.dyhead import DyConv, DyReLU, hard_sigmoid, read_flat

CHANNELS = 16
SIZES = ((12, 16), (6, 8), (3, 4))


@pytest.fixture
def block() -> DyConv:
    torch.manual_seed(0)
    block = DyConv(CHANNELS)
    for module in block.modules():
        weight = getattr(module, "weight", None)
        if weight is not None and weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.2)
    return block.eval()


def maps() -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(2, CHANNELS, *size) for size in SIZES]


def test_the_activation_is_the_larger_of_two_lines() -> None:
    torch.manual_seed(2)
    relu, x = DyReLU(CHANNELS), torch.randn(2, CHANNELS, 5, 7)
    coefficients = (relu.fc(x.mean((2, 3))) + 3).clamp(0, 6) / 6 - 0.5
    a1, b1, a2, b2 = (part[:, :, None, None] for part in coefficients.split(CHANNELS, dim=1))
    expected = torch.max(x * (1 + 2 * a1) + b1, x * (2 * a2) + b2)
    torch.testing.assert_close(relu(x), expected)


def test_the_gate_is_straight_between_minus_three_and_three() -> None:
    assert hard_sigmoid(torch.tensor([-9.0, -3.0, 0.0, 1.5, 3.0, 9.0])).tolist() == [0, 0, 0.5, 0.75, 1, 1]


def test_one_level_alone_reads_itself(block: DyConv) -> None:
    x = maps()[0]
    steering = block.offset(x)
    branch = block.DyConv[1](x, steering[:, : 2 * TAPS], steering[:, 2 * TAPS :].sigmoid())
    gate = hard_sigmoid(block.AttnConv(branch))
    torch.testing.assert_close(block([x])[0], block.relu(branch * gate))


def test_a_level_reads_its_neighbours_as_they_were(block: DyConv) -> None:
    """A change in one level reaches that level and its neighbours in one block, and no other."""
    before = block(maps())
    assert [tuple(x.shape[-2:]) for x in before] == list(SIZES)
    for changed in range(3):
        given = maps()
        given[changed] = given[changed] + 1
        moved = [not torch.equal(x, y) for x, y in zip(block(given), before, strict=True)]
        assert moved == [abs(level - changed) <= 1 for level in range(3)]


def test_images_of_a_batch_do_not_see_each_other(block: DyConv) -> None:
    together = block(maps())
    alone = [block([x[i : i + 1] for x in maps()]) for i in range(2)]
    assert len(together) == len(SIZES)
    for level, x in enumerate(together):
        torch.testing.assert_close(x, torch.cat([alone[0][level], alone[1][level]]))


def test_flat_reading_takes_the_head_of_each_images_block() -> None:
    x = torch.arange(2 * 3 * 4 * 4).view(2, 3, 4, 4)
    small = read_flat(x, torch.Size((2, 2)))
    assert small[0].flatten().tolist() == list(range(12))
    assert small[1].flatten().tolist() == list(range(48, 60))
