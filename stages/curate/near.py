"""Pairs of images of the run that look alike: candidates are found, and each of them is verified by its thumbnails."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from stages.curate.candidates import Candidates, find_candidates
from stages.curate.likeness import likeness
from stages.curate.pairs import Flags, Ints, spool
from stages.curate.scratch import load, mapped, opened, save
from stages.curate.signature import THUMB
from stages.stage import RunIO, Scratch

if TYPE_CHECKING:
    from schemas.config import CurateConfig
    from stages.curate.benchmarks import Known

PAIRS_AT_ONCE = 8192
BLOCK = 1 << 18  # candidates that are verified together
LISTED = "candidates/listed.npy"  # (4, M) a row's thumbnail and view, the earlier one's, of each candidate


@dataclass(frozen=True)
class Near:
    """Pairs of the run whose images look alike."""

    later: Ints
    earlier: Ints
    candidates: int
    largest_bucket: int


def find_near(io: RunIO, known: Known, wanted: Flags, config: CurateConfig) -> Near:
    """`wanted` (B + P,): the items that take part, one for each image."""
    items, _ = spool(io, "bits", known.bits, wanted)
    found = find_candidates(io, "bits", len(items), config.flips, int(config.memory * 2**30), config.threads)
    compared = np.zeros(len(items), np.bool_)
    compared[found.later] = compared[found.earlier] = True
    chosen = np.zeros(len(wanted), np.bool_)
    chosen[items[compared]] = True
    spool(io, "thumb", known.thumbs, chosen)
    alike = are_alike(io, np.cumsum(compared) - 1, found, config)
    return Near(items[found.later[alike]], items[found.earlier[alike]], len(alike), found.largest_bucket)


@dataclass(frozen=True)
class Verify:
    """A block of candidates, of which each pair of images is wholly in it: which of them are alike."""

    digest: str  # of the thumbnails and the list
    thumbs: int
    start: int
    stop: int
    least: float

    @property
    def name(self) -> str:
        return f"alike/{self.digest}/{self.least!r}-{self.start}-{self.stop}.npy"

    def run(self, scratch: Scratch) -> None:
        thumbs = mapped(scratch.path("thumb"), (self.thumbs, THUMB, THUMB))
        one, view, other, other_view = np.asarray(opened(scratch, LISTED)[:, self.start : self.stop]).astype(np.int64)
        again = np.zeros(len(one), np.bool_)
        again[1:] = (one[1:] == one[:-1]) & (other[1:] == other[:-1])
        alike = np.zeros(len(one), np.bool_)
        for chosen in (np.flatnonzero(~again), np.flatnonzero(again)):
            left = chosen[~alike[chosen - 1]]  # second views are looked at where the first ones are not alike
            for at in range(0, len(left), PAIRS_AT_ONCE):
                now = left[at : at + PAIRS_AT_ONCE]
                found = likeness(
                    np.asarray(thumbs[one[now]]), view[now], np.asarray(thumbs[other[now]]), other_view[now]
                )
                alike[now] = found >= self.least
        save(scratch, self.name, alike)


def are_alike(io: RunIO, place: Ints, found: Candidates, config: CurateConfig) -> Flags:
    """Of each candidate. `place`: of a row's thumbnail among those of the scratch file."""
    listed = np.stack([place[found.later], found.later_view, place[found.earlier], found.earlier_view])
    save(io.scratch, LISTED, listed.astype(np.uint32))
    digest = hashlib.sha256(f"{io.scratch.sha256('thumb')} {io.scratch.sha256(LISTED)}".encode()).hexdigest()
    edges = edges_of(found)
    thumbs = int(listed[[0, 2]].max(initial=-1)) + 1
    blocks = [Verify(digest, thumbs, start, stop, config.min_likeness) for start, stop in pairwise(edges)]
    io.run_blocks(blocks, "verifying candidates", config.threads)
    return np.concatenate([np.empty(0, np.bool_), *(load(io.scratch, block.name) for block in blocks)])


def edges_of(found: Candidates) -> list[int]:
    """Where blocks of candidates begin and end, so that none cuts the views of two images apart."""
    new = np.ones(len(found.later), np.bool_)
    new[1:] = (found.later[1:] != found.later[:-1]) | (found.earlier[1:] != found.earlier[:-1])
    return [*np.flatnonzero(new)[::BLOCK].tolist(), len(new)]
