"""Batches whose loss or gradient is not a number. They are left out, as GLIP's own trainer does, and recorded.

Which samples are in a batch follows from its step alone, so that one that stops a training would stop it again after
every resume.
"""

from __future__ import annotations

from typing import Any

IN_A_ROW = 3  # more is no accident of the data
GRACE = 1000  # steps: no share is taken of fewer
NAMED = 20  # batches that the commit record names


class NonFiniteLoss(RuntimeError):
    """Too many batches were left out; the message names their steps and the keys of their samples."""


class BadBatches:
    """How many batches were left out, and which. limit: the share of the steps that may be, of at least GRACE."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.count = 0
        self.named: list[str] = []
        self._row: list[str] = []  # those since the last good one

    def add(self, step: int, what: str) -> None:
        """Raises NonFiniteLoss for the third in a row, and for more than the share."""
        words = f"step {step}: {what}"
        self.count += 1
        self._row.append(words)
        self.named = [*self.named, words][:NAMED]
        if len(self._row) == IN_A_ROW:
            raise NonFiniteLoss("; ".join(self._row))
        if self.count > self.limit * max(step + 1, GRACE):
            raise NonFiniteLoss(
                f"{self.count:,} batches in {step + 1:,} steps were left out, more than train.max_skipped"
                f" ({self.limit:g}) allows; the last is {words}"
            )

    def good(self) -> None:
        """A batch was not to be left out."""
        self._row = []

    def unused(self) -> dict[str, int]:
        """For the stage's closing lines."""
        return {"batches (loss or gradient not a number)": self.count} if self.count else {}

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "named": self.named, "row": self._row}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count, self.named, self._row = state["count"], state["named"], state["row"]
