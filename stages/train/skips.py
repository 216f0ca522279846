"""Samples that a training cannot use. They are counted, and too many of them end it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from stages.stage import RowError

GRACE = 100  # samples: no share is taken of fewer
NAMED = 5  # samples that an error names


class TooManySkipped(RuntimeError):
    """More samples than `train.max_skipped` allows could not be used; the message names the first of them."""


class Skips:
    """How many samples were skipped and why, since the beginning and since the last checkpoint.

    limit: the share of the samples that may be skipped, of at least GRACE.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.reasons: Counter[str] = Counter()  # how many samples, by reason code
        self.first: list[str] = []
        self._before = 0  # skipped until the last checkpoint

    @property
    def count(self) -> int:
        return self.reasons.total()

    def add(self, words: Sequence[str]) -> None:
        """Samples as `word` writes them."""
        self.reasons.update(word.partition(":")[0] for word in words)
        self.first = [*self.first, *words][:NAMED]

    def check(self, seen: int) -> None:
        """Raises TooManySkipped; `seen`: all samples until now, skipped or not."""
        if self._too_many(self.count, seen):
            raise TooManySkipped(
                f"{self.count:,} of {seen:,} samples could not be used, more than train.max_skipped"
                f" ({self.limit:g}) allows; the first are: {'; '.join(self.first)}"
            )

    def end_stretch(self, seen: int) -> bool:
        """At a checkpoint: whether few of the `seen` samples since the last one were skipped."""
        skipped, self._before = self.count - self._before, self.count
        return not self._too_many(skipped, seen)

    def _too_many(self, skipped: int, seen: int) -> bool:
        return skipped > self.limit * max(seen, GRACE)

    def unused(self) -> dict[str, int]:
        """For the stage's closing lines."""
        return {f"samples ({reason})": number for reason, number in sorted(self.reasons.items())}

    def state_dict(self) -> dict[str, Any]:
        return {"reasons": dict(self.reasons), "first": self.first}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.reasons, self.first = Counter(state["reasons"]), list(state["first"])
        self._before = self.count


def word(place: str, error: RowError) -> str:
    """A skipped sample in words that begin with the reason code."""
    return f"{error.reason}: {place}" + (f", {error.detail}" if error.detail else "")
