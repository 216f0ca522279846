"""The variants are the published ones, and two of our own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.variants import VARIANTS, SwinSpec, get_variant


def test_the_three_trainings_of_glip_t_are_one_architecture() -> None:
    whole = get_variant("glip-t")
    for name in ("glip-t-b", "glip-t-c"):
        assert replace(get_variant(name), name="glip-t") == whole
    assert replace(get_variant("glip-t-a"), name="glip-t", fusion=whole.fusion) == whole
    assert get_variant("glip-t-a").fusion is None  # image and text meet at the end alone


@pytest.mark.parametrize(
    ("name", "width", "depths", "window", "tower"),
    [("glip-t", 96, (2, 2, 6, 2), 7, 6), ("glip-l", 192, (2, 2, 18, 2), 12, 8)],
)
def test_published_sizes(name: str, width: int, depths: tuple[int, ...], window: int, tower: int) -> None:
    """Swin-T and Swin-L, and the towers of GLIP's table 1."""
    variant = get_variant(name)
    assert isinstance(variant.backbone, SwinSpec)
    assert (variant.backbone.width, variant.backbone.depths, variant.backbone.window) == (width, depths, window)
    assert variant.backbone.widths == (width, 2 * width, 4 * width, 8 * width)
    assert (variant.tower, variant.channels, variant.short, variant.long) == (tower, 256, 800, 1333)


def test_every_variant_carries_its_name() -> None:
    assert {name: variant.name for name, variant in VARIANTS.items()} == {name: name for name in VARIANTS}


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"unknown GLIP variant 'glip-x'; there are glip-l, glip-nano.*glip-t-c"):
        get_variant("glip-x")
