"""MinHash against the share of common pieces that is counted; captions that are alike, and what comes later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.storage.files import PartFiles, RunFiles
from pipeline.storage.local import LocalStorage
from schemas.records import make_key
from stages.curate.captions import COLUMN, HASHES, PIECE, first_alike, minhashes
from stages.curate.pairs import SIGNATURES
from stages.curate.rules import caption_hashes
from tests.stages.audit_run import no_beat

CAPTIONS = [
    "A small brown dog runs over the wet grass behind a red ball",
    "a small brown dog runs over the wet grass behind a red  ball!",
    "A small brown dog runs over the green grass behind a blue ball",
    "Two people sit on a bench in front of the sea",
    "Zwei Menschen sitzen auf einer Bank vor dem Meer",
    "",
    "a",
    "\N{DOG FACE}\N{DOG FACE}",
    "TWO PEOPLE SIT ON A BENCH IN FRONT OF THE SEA",
]


def common(one: str, other: str) -> float:
    pieces = []
    for caption in (one, other):
        text = f" {' '.join(caption.casefold().split())} ".encode().ljust(PIECE)
        pieces.append({text[start : start + PIECE] for start in range(len(text) - PIECE + 1)})
    return len(pieces[0] & pieces[1]) / len(pieces[0] | pieces[1])


def test_hashes_agree_as_often_as_pieces_are_common() -> None:
    hashes = minhashes(CAPTIONS)
    assert hashes.shape == (len(CAPTIONS), HASHES)
    errors = []
    for one in range(len(CAPTIONS)):
        for other in range(one):
            share, wanted = (hashes[one] == hashes[other]).mean(), common(CAPTIONS[one], CAPTIONS[other])
            errors.append(abs(share - wanted))
            if wanted in (0, 1):
                assert share == wanted, (CAPTIONS[one], CAPTIONS[other])
    assert max(errors) < 0.2 and np.mean(errors) < 0.05
    assert common(CAPTIONS[0], CAPTIONS[1]) > 0.9 > 0.75 > common(CAPTIONS[0], CAPTIONS[2]) > 0.4


def test_a_caption_has_its_hashes_wherever_it_stands() -> None:
    whole = minhashes(CAPTIONS)
    for number, caption in enumerate(CAPTIONS):
        assert (minhashes([caption])[0] == whole[number]).all(), caption
    assert minhashes([]).shape == (0, HASHES)


def firsts(captions: list[str], folder: Path, least: float = 0.8, part_size: int = 4) -> list[int]:
    storage = LocalStorage(str(folder))
    parts = range(-(-len(captions) // part_size))
    for part in parts:
        own = captions[part * part_size : (part + 1) * part_size]
        files = PartFiles(storage, part, None, f"test-{part}", no_beat, {})
        hashes = pa.array([row.tobytes() for row in minhashes(own)], pa.binary(4 * HASHES))
        files.write(SIGNATURES, pa.table({"key": [make_key(part, row) for row in range(len(own))], COLUMN: hashes}))
        files.publish()
    run = RunFiles(storage, list(parts), "merge", no_beat)
    return first_alike(run, caption_hashes(captions), np.ones(len(captions), bool), least).tolist()


def test_captions_that_are_alike_have_the_first_one(tmp_path: Path) -> None:
    assert firsts(CAPTIONS, tmp_path / "a") == [0, 0, 2, 3, 4, 5, 6, 7, 3]
    assert firsts(CAPTIONS, tmp_path / "b", least=0.4)[2] == 0


def test_later_captions_change_nothing_about_earlier_ones(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    words = [f"word{number}" for number in range(50)]
    captions = [" ".join(draw.choice(words, 12)) for _ in range(30)]
    captions += [" ".join([*caption.split()[:11], "new"]) for caption in captions[:20]] + captions[:10]
    whole = firsts(captions, tmp_path / "whole")
    assert 25 <= sum(first != row for row, first in enumerate(whole)) <= 30  # a word of twelve is about the limit
    assert whole[50:] == list(range(10))
    for number in (10, 40, 55):
        assert firsts(captions[:number], tmp_path / str(number)) == whole[:number]


@pytest.mark.parametrize("part_size", [1, 7, 100])
def test_parts_change_nothing(tmp_path: Path, part_size: int) -> None:
    assert firsts(CAPTIONS, tmp_path, part_size=part_size) == [0, 0, 2, 3, 4, 5, 6, 7, 3]
