"""Candidates against a comparison of all with all; blocks, crowded buckets, and what later rows may not change."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest

from pipeline.storage.files import RunFiles
from pipeline.storage.local import LocalStorage
from stages.curate import candidates
from stages.curate.candidates import MAX_DISTANCE, REACH, TABLES, TRIES, Candidates
from stages.curate.signature import BYTES, PLAIN, VIEWS, mirror_mask
from tests.stages.audit_run import no_beat

MEMORY = 1 << 30


def find_candidates(bits: np.ndarray, flips: bool, memory: int, threads: int = 1) -> Candidates:
    with tempfile.TemporaryDirectory() as folder:
        run = RunFiles(LocalStorage(folder), [], "merge", no_beat)
        with run.scratch.create("bits") as file:
            file.write(bits.tobytes())
        return candidates.find_candidates(run, "bits", len(bits), flips, memory, threads)


def bits_of(count: int, seed: int = 0, copies: int = 0, wrong: int = 4) -> np.ndarray:
    """Random views; the last `copies` rows are the first ones with some wrong bits in each view."""
    draw = np.random.default_rng(seed)
    found = draw.integers(0, 256, (count, len(VIEWS), BYTES), np.uint8)
    for row in range(copies):
        flips = np.zeros((len(VIEWS), BYTES * 8), np.uint8)
        for view in range(len(VIEWS)):
            flips[view, draw.choice(BYTES * 8, wrong, replace=False)] = 1
        found[count - copies + row] = found[row] ^ np.packbits(flips, axis=-1)
    return found


def listed(found: Candidates) -> list[tuple[int, int, int, int]]:
    columns = (found.later, found.earlier, found.later_view, found.earlier_view)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def all_with_all(bits: np.ndarray, flips: bool) -> dict[tuple[int, int], list[tuple[int, int, int]]]:
    """By (later, earlier): distance and views of all pairs of views that some table brings together."""
    plain, kinds = len(PLAIN), len(VIEWS)
    views = np.concatenate([bits, bits[:, :plain] ^ mirror_mask()], axis=1) if flips else bits
    found: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for later in range(len(bits)):
        for earlier in range(later):
            different = views[later][:, None] ^ views[earlier][None]  # (views, views, BYTES)
            same_key = np.any([~different[..., list(table)].any(-1) for table in TABLES], axis=0)
            distance = np.bitwise_count(different).sum(-1)
            for one, other in np.argwhere(same_key & (distance <= MAX_DISTANCE)).tolist():
                upright = one < kinds and other < kinds and (one < plain or other < plain)
                if upright or (one >= kinds) != (other >= kinds):
                    found.setdefault((later, earlier), []).append((int(distance[one, other]), one, other))
    return found


@pytest.mark.parametrize("flips", [False, True])
def test_the_nearest_views_of_all_pairs_that_share_a_key(flips: bool) -> None:
    bits = bits_of(40, copies=12)
    bits[39, : len(PLAIN)] = bits[11, : len(PLAIN)] ^ mirror_mask()  # a mirrored copy in place of a plain one
    wanted = all_with_all(bits, flips)
    found = find_candidates(bits, flips, MEMORY)
    assert {(later, earlier) for later, earlier, _, _ in listed(found)} == set(wanted)
    assert ((39, 11) in wanted) is flips and len(wanted) >= 11
    for pair, views in wanted.items():
        own = [(one, other) for later, earlier, one, other in listed(found) if (later, earlier) == pair]
        distances = {(one, other): distance for distance, one, other in views}
        assert 1 <= len(own) <= TRIES and [distances[entry] for entry in own] == sorted(distances.values())[: len(own)]


@pytest.mark.parametrize("flips", [False, True])
def test_blocks_and_threads_change_nothing(flips: bool) -> None:
    bits = bits_of(300, seed=1, copies=100)
    bits[50:55, 0] = bits[7, 0]
    bits[60:80, 9] = bits[8, 9]  # crops, which are not compared with each other
    whole = find_candidates(bits, flips, MEMORY)
    assert len(whole.later) >= 100 and whole.largest_bucket == 7  # with the copy of row 7
    for memory, threads in ((20_000, 1), (50_000, 3)):
        found = find_candidates(bits, flips, memory, threads)
        assert listed(found) == listed(whole) and found.largest_bucket == whole.largest_bucket


def test_crops_that_meet_no_whole_image_are_not_sorted() -> None:
    """Of 20,000 views with different keys, whole ones stay, and of the crops those that meet one, and few others."""
    kinds, rows = len(VIEWS), np.arange(20_000)
    draw = np.random.default_rng(0)
    view = draw.integers(0, kinds, len(rows)).astype(np.uint64)
    keys = draw.choice(2**32, len(rows), replace=False).astype(np.uint64)
    crops, whole = np.flatnonzero(view >= len(PLAIN)), np.flatnonzero(view < len(PLAIN))
    keys[crops[:100]] = keys[whole[:100]]
    entries = (keys << np.uint64(32)) | (rows.astype(np.uint64) * np.uint64(kinds) + view)
    kept = candidates._that_may_meet([*np.array_split(entries, 7)], kinds)
    assert np.isin(entries[[*whole, *crops[:100]]], kept).all() and np.isin(kept, entries).all()
    assert len(kept) < len(whole) + 100 + 0.3 * len(crops)


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bits = bits_of(300, seed=1, copies=100)
    bits[50:80] = bits[7]  # a bucket larger than a piece
    whole = listed(find_candidates(bits, False, MEMORY))
    monkeypatch.setattr(candidates, "AT_ONCE", 20)
    assert listed(find_candidates(bits, False, MEMORY)) == whole


def test_later_rows_change_nothing_about_earlier_ones() -> None:
    bits = np.concatenate([bits_of(120, seed=2, copies=40), bits_of(120, seed=2, copies=60, wrong=2)])
    bits[50:80] = bits[7]  # a crowd
    whole = listed(find_candidates(bits, False, MEMORY))
    for rows in (100, 150):
        assert listed(find_candidates(bits[:rows], False, MEMORY)) == [entry for entry in whole if entry[0] < rows]


def test_a_crowd_is_reached_by_its_first_and_last_members() -> None:
    crowd = 200
    bits = np.repeat(bits_of(1, seed=3), crowd, axis=0)
    found = find_candidates(bits, False, MEMORY)
    assert found.largest_bucket == crowd
    earlier = {row: {other for later, other, _, _ in listed(found) if later == row} for row in (1, 30, crowd - 1)}
    assert earlier[1] == {0} and earlier[30] == set(range(30)) - set(range(REACH, 30 - REACH))
    assert earlier[crowd - 1] == {*range(REACH), *range(crowd - 1 - REACH, crowd - 1)}


def test_nothing_to_compare() -> None:
    for rows in (0, 1):
        found = find_candidates(bits_of(rows), True, MEMORY)
        assert listed(found) == [] and found.largest_bucket == 0


def test_every_byte_is_in_every_way_to_read_a_view() -> None:
    ways = [TABLES[start : start + 3] for start in range(0, len(TABLES), 3)]
    assert [sorted(byte for table in way for byte in table) for way in ways] == [list(range(BYTES))] * 4
