"""Verification in blocks: no cut changes a decision, and none parts the views of two images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.storage.files import RunFiles
from pipeline.storage.local import LocalStorage
from schemas.config import CurateConfig
from stages.curate import near
from stages.curate.candidates import Candidates
from stages.curate.likeness import likeness
from stages.curate.near import are_alike, edges_of
from stages.curate.signature import THUMB
from tests.stages.audit_run import no_beat

CONFIG = CurateConfig(duplicates="perceptual", min_likeness=0.5)


def drawn_candidates(rows: int) -> Candidates:
    """Every row with some before it, most of them through two pairs of views."""
    draw = np.random.default_rng(0)
    pairs = sorted({(row, int(draw.integers(row))) for row in range(1, rows) for _ in range(3)})
    twice = [pair for pair in pairs for _ in range(2 if draw.random() < 0.7 else 1)]
    later, earlier = np.array(twice).T
    views = draw.integers(0, 4, (2, len(twice)))
    return Candidates(later, earlier, views[0], views[1], 0)


@pytest.mark.parametrize("block", [1, 7, 1 << 18])
def test_blocks_change_nothing(block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "BLOCK", block)
    monkeypatch.setattr(near, "PAIRS_AT_ONCE", 3)
    draw, found = np.random.default_rng(1), drawn_candidates(30)
    thumbs = draw.integers(0, 256, (30, THUMB, THUMB), np.uint8)
    thumbs[20:] = thumbs[:10] ^ 1  # copies, which look the same through the same view
    run = RunFiles(LocalStorage(str(tmp_path)), [], "merge", no_beat)
    with run.scratch.create("thumb") as file:
        file.write(thumbs[::-1].tobytes())
    alike = are_alike(run, np.arange(30)[::-1], found, CONFIG)
    wanted, seen = [], set()
    for one, other, view, other_view in zip(
        found.later, found.earlier, found.later_view, found.earlier_view, strict=True
    ):
        score = likeness(thumbs[[one]], view[None], thumbs[[other]], other_view[None])[0]
        wanted.append(score >= 0.5 and (one, other) not in seen)
        seen |= {(one, other)} if wanted[-1] else set()
    assert alike.tolist() == wanted and any(wanted)
    names = list((tmp_path / "state/scratch/alike").rglob("*.npy"))
    assert len(names) == len(edges_of(found)) - 1 and (len(names) > 3) is (block < 10)


def test_no_block_parts_two_images() -> None:
    found = drawn_candidates(30)
    pairs = list(zip(found.later.tolist(), found.earlier.tolist(), strict=True))
    near_edges = edges_of(found)
    assert near_edges[0] == 0 and near_edges[-1] == len(pairs)
    nothing = Candidates(*(np.empty(0, np.int64) for _ in range(4)), 0)
    assert edges_of(nothing) == [0]


def test_without_candidates_nothing_is_alike(tmp_path: Path) -> None:
    run = RunFiles(LocalStorage(str(tmp_path)), [], "merge", no_beat)
    with run.scratch.create("thumb") as file:
        file.write(b"")
    nothing = Candidates(*(np.empty(0, np.int64) for _ in range(4)), 0)
    assert are_alike(run, np.empty(0, np.int64), nothing, CONFIG).tolist() == []
