"""The sprites and their colours."""

from __future__ import annotations

import numpy as np

from stages.synthetic import NOUNS
from stages.synthetic.atlas import ATLAS, COLOURS, cut, recolour


def test_colour_words_are_true() -> None:
    """A group has one colour, and the painted sprite's main colour is nearest to that name's."""
    painted = [(noun, tint) for noun in NOUNS for tint in noun.tints if tint != noun.colour]
    assert len(painted) > 100
    for noun, tint in painted:
        before, after = cut(noun), recolour(cut(noun), COLOURS[tint])
        old, new = np.asarray(before, dtype=int), np.asarray(after, dtype=int)
        changed = (np.abs(old - new).max(axis=2) > 12) & (old[..., 3] > 200)
        assert changed.mean() > 0.02, (noun.name, tint)
        colour = np.median(new[..., :3][changed], axis=0)
        nearest = min(COLOURS, key=lambda name: np.abs(colour - COLOURS[name]).sum())
        assert nearest == tint, (noun.name, tint, colour)


def test_the_atlas_is_small_licensed_and_full() -> None:
    assert ATLAS.stat().st_size <= 3 * 2**20
    assert "SIL OPEN FONT LICENSE Version 1.1" in ATLAS.with_name("LICENSE-OFL.txt").read_text(encoding="utf-8")
    sprites = [cut(noun) for noun in NOUNS]
    assert all(max(sprite.size) >= 90 for sprite in sprites)
    small = np.stack([np.asarray(sprite.convert("RGBa").resize((12, 12)), dtype=np.int16) for sprite in sprites])
    apart = np.abs(small[:, None] - small[None]).mean(axis=(2, 3, 4)) + 1000 * np.eye(len(NOUNS))
    assert apart.min() > 12  # no image twice
