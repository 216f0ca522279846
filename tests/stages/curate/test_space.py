"""The vectors of a run's parts in one file, those of benchmarks first, and centres that stay as the corpus grows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.storage.files import PartFiles, RunFiles
from pipeline.storage.local import LocalStorage
from schemas.config import CurateConfig
from schemas.records import make_key
from stages.curate.clusters import kmeans, write_centres
from stages.curate.embeddings import stored
from stages.curate.pairs import SIGNATURES
from stages.curate.space import Space, open_space
from stages.curate.vectors import Vectors
from tests.stages.audit_run import no_beat
from tests.stages.curate.test_vectors import drawn

CONFIG = CurateConfig(clusters=4, sample=64, min_cosine=0.9)
NOTHING = np.empty((0, 0), np.float16)


def run_of(folder: Path, parts: list[list[np.ndarray | None]]) -> RunFiles:
    storage = LocalStorage(str(folder))
    for number, rows in enumerate(parts):
        files = PartFiles(storage, number, None, f"test-{number}", no_beat, {})
        keys = pa.array([make_key(number, row) for row in range(len(rows))], pa.string())
        vectors = [None if row is None else row.astype(np.float32) for row in rows]
        files.write(SIGNATURES, pa.table({"key": keys, "embedding": stored(vectors)}))
        files.publish()
    return RunFiles(storage, list(range(len(parts))), "merge", no_beat)


def opened(run: RunFiles, known: Vectors = NOTHING, count: int = 0, made_of: str = "ab") -> Space:
    wanted = np.ones(len(known) + count, np.bool_)
    space = open_space(run, known, wanted, CONFIG, made_of)
    assert space is not None
    return space


def test_rows_are_benchmarks_and_then_pairs_with_a_vector(tmp_path: Path) -> None:
    rows, known = drawn(150), drawn(3, seed=1)
    run = run_of(tmp_path / "run", [[None, *rows[:80], None], [None, None], [], [*rows[80:]]])
    space = opened(run, known, 154)
    pairs = [*range(4, 84), *range(87, 157)]
    assert space.items.tolist() == [0, 1, 2, *pairs] and space.known == 3
    assert np.array_equal(space.vectors, np.concatenate([known, rows]))
    assert np.array_equal(space.centres.vectors, kmeans(rows[:64], 4).vectors)
    clusters = space.clusters(157)
    assert np.flatnonzero(clusters < 0).tolist() == [3, 84, 85, 86]
    assert clusters[pairs].tolist() == (rows.astype(float) @ space.centres.vectors.astype(float).T).argmax(1).tolist()


def test_only_what_takes_part_is_read(tmp_path: Path) -> None:
    rows = drawn(40)
    run = run_of(tmp_path / "run", [list(rows)])
    wanted = np.arange(40) % 2 == 0
    space = open_space(run, NOTHING, wanted, CONFIG, "ab")
    assert space is not None and space.items.tolist() == list(range(0, 40, 2))
    assert np.array_equal(space.vectors, rows[::2])


def test_benchmarks_without_vectors_take_no_part(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [list(drawn(20))])
    space = opened(run, np.empty((5, 0), np.float16), 20)
    assert space.items.tolist() == list(range(5, 25)) and space.known == 0


def test_copies_are_found_among_the_items(tmp_path: Path) -> None:
    rows, known = drawn(30), drawn(2, seed=1)
    rows[7], rows[9], rows[20] = rows[3], known[1], known[1]
    run = run_of(tmp_path / "run", [[*rows[:5], None], list(rows[5:])])
    later, earlier = opened(run, known, 31).alike(run, CONFIG)
    assert list(zip(later.tolist(), earlier.tolist(), strict=True)) == [(10, 5), (12, 1), (23, 1), (23, 12)]


def test_centres_stay_as_the_corpus_grows(tmp_path: Path) -> None:
    rows = drawn(100)
    first = opened(run_of(tmp_path / "run", [list(rows[:40])]), NOTHING, 40)
    grown = run_of(tmp_path / "run", [list(rows[:40]), list(rows[40:])])
    write_centres(grown, first.centres, "ab")
    then = opened(grown, NOTHING, 100)
    assert np.array_equal(then.centres.vectors, first.centres.vectors) and then.centres.images == 40
    anew = opened(grown, NOTHING, 100, "cd")
    assert np.array_equal(anew.centres.vectors, kmeans(rows[:64], 4).vectors)


def test_without_a_vector_there_is_no_space(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [[None, None], []])
    assert open_space(run, NOTHING, np.ones(2, np.bool_), CONFIG, "ab") is None
    assert run.files("summaries/clusters") == []
