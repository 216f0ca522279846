"""The head: the order of positions, the alignment of positions with tokens by hand, and padding tokens."""

from __future__ import annotations

import math

import pytest
import torch

from model.glip import Glip
from model.head import PRIOR_LOGIT, Head, flatten_levels, split_levels
from model.variants import NONE, get_variant

SIZES = ((8, 10), (4, 5), (2, 3))


@pytest.fixture
def head(nano: Glip) -> Head:
    return nano.rpn.head


def test_positions_go_row_by_row_and_level_by_level() -> None:
    maps = [torch.randn(2, 3, *size) for size in SIZES]
    flat = flatten_levels(maps)
    assert flat.shape == (2, sum(h * w for h, w in SIZES), 3)
    torch.testing.assert_close(flat[1, 1 * 10 + 7], maps[0][1, :, 1, 7])
    torch.testing.assert_close(flat[0, 80 + 3 * 5 + 2], maps[1][0, :, 3, 2])
    back = split_levels(flat, [x.shape[-2:] for x in maps])
    assert all(torch.equal(x, y) for x, y in zip(maps, back, strict=True))


def test_alignment_is_the_projection_of_unit_tokens(head: Head) -> None:
    """Logit of position p and token t: <x_p, W (s_t / |s_t|) / 2 + w> / exp(scale) + <s_t / |s_t|, bias> + bias0."""
    states, x = torch.randn(1, 4, head.bias_lang.shape[0]), torch.randn(1, head.bbox_pred.in_channels, 2, 3)
    with torch.no_grad():
        token, bias = head.align(states)
        found = head.predict(x, head.scales[0], token, bias)
        projection = head.dot_product_projection_text
        for t in range(4):
            unit = states[0, t] / states[0, t].norm()
            vector = (projection.weight @ unit / 2 + projection.bias) / head.log_scale.exp()
            for p in range(6):
                expected = vector @ x[0, :, p // 3, p % 3] + unit @ head.bias_lang + head.bias0
                assert found.token_logits[0, p, t].item() == pytest.approx(expected.item(), abs=1e-4)
    assert found.box_regression.shape == (1, 4, 2, 3) and found.centerness.shape == (1, 1, 2, 3)


def test_levels_scale_their_boxes_alone(head: Head) -> None:
    x, (token, bias) = torch.randn(1, head.bbox_pred.in_channels, 2, 3), (torch.zeros(1, 1, 64), torch.zeros(1, 1))
    level = type(head.scales[0])()
    with torch.no_grad():
        before = head.predict(x, level, token, bias)
        level.scale.fill_(2.0)
        after = head.predict(x, level, token, bias)
    torch.testing.assert_close(after.box_regression, 2 * before.box_regression)
    torch.testing.assert_close(after.centerness, before.centerness)


def test_a_fresh_head_believes_in_one_position_of_a_hundred() -> None:
    head = Head(get_variant("glip-nano"), NONE)
    assert torch.sigmoid(head.bias0).item() == pytest.approx(0.01)
    assert math.isclose(1 / (1 + math.exp(-PRIOR_LOGIT)), 0.01)
