"""Initial weights are drawn as published, and by the seed alone."""

from __future__ import annotations

import pytest
import torch

from model.backbone import FeaturePyramid, WindowAttention
from model.deform import ModulatedDeformConv
from model.fusion import BiMultiHeadAttention
from model.glip import Glip
from model.head import Head
from model.initial import convolutions, initialise
from model.variants import FusionSpec, get_variant


@pytest.fixture(scope="module")
def fresh() -> Glip:
    return Glip.from_variant("glip-nano", seed=3)


def of(model: torch.nn.Module, kind: type) -> list[torch.nn.Module]:
    return [module for module in model.modules() if isinstance(module, kind)]


def test_what_predicts_begins_near_nothing(fresh: Glip) -> None:
    (head,) = of(fresh, Head)
    for conv in (head.bbox_pred, head.centerness):
        assert conv.weight.std().item() == pytest.approx(0.01, rel=0.3) and not conv.bias.any()
    assert head.bias_lang.abs().max() == 0 and head.log_scale.item() == 0


def test_the_pyramid_is_drawn_uniformly_within_its_bound(fresh: Glip) -> None:
    """Kaiming's uniform draw with a = 1: within sqrt(3 / fan in)."""
    pyramids = [conv for pyramid in of(fresh, FeaturePyramid) for conv in convolutions(pyramid)]
    assert pyramids
    for conv in pyramids:
        bound = (3 / conv.weight[0].numel()) ** 0.5
        assert 0.95 * bound < conv.weight.abs().max().item() <= bound and not conv.bias.any()


def test_deformable_convolutions_are_bounded_by_their_fan_in(fresh: Glip) -> None:
    convs = of(fresh, ModulatedDeformConv)
    assert convs
    for conv in convs:
        bound = conv.weight[0].numel() ** -0.5
        assert 0.95 * bound < conv.weight.abs().max().item() <= bound


def test_the_fusion_is_drawn_by_xavier() -> None:
    torch.manual_seed(0)
    attention = BiMultiHeadAttention(64, 96, FusionSpec(width=128, heads=4))
    initialise(attention)
    linears = attention.projections()
    assert len(linears) == 6
    for linear in linears:
        bound = (6 / (linear.in_features + linear.out_features)) ** 0.5
        assert 0.95 * bound < linear.weight.abs().max().item() <= bound and not linear.bias.any()


def test_position_biases_of_windows_are_small_and_cut_at_two_deviations() -> None:
    swin = get_variant("glip-t").backbone
    attention = WindowAttention(swin.width, swin.heads[0], swin.window)
    initialise(attention)
    table = attention.relative_position_bias_table
    assert 0.01 < table.std().item() < 0.03 and table.abs().max().item() <= 2.0


def test_a_seed_gives_the_same_weights_whatever_was_drawn_before(fresh: Glip) -> None:
    torch.manual_seed(99)
    again, other = (Glip.from_variant("glip-nano", seed=seed).state_dict() for seed in (3, 4))
    for name, value in fresh.state_dict().items():
        assert torch.equal(value, again[name]), name
    assert any(not torch.equal(value, other[name]) for name, value in again.items())
