"""A cell of an experiment: a model that is trained, or labels that are made, by commands with some settings."""

from __future__ import annotations

import fnmatch
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

WEIGHTS = "student/weights.safetensors"
IMAGES = "evaluate.count"
WORK = "$WORK"  # stands for the folder of all cells in settings, which are recorded and compared on other machines


@dataclass(frozen=True)
class Cell:
    name: str
    settings: Mapping[str, Any]
    commands: tuple[str, ...]  # of phrasebox, or "python -m ...", in this order
    needs: tuple[Cell, ...] = ()
    begins_as: Cell | None = None  # its folder starts as a copy of this one's
    facts: Mapping[str, Any] = field(default_factory=dict)  # what the results are sorted by

    def key(self) -> str:
        """Changes with every setting of the cell and of those it needs, but for the number of evaluation images."""
        settings = sorted(item for item in self.settings.items() if item[0] != IMAGES)
        parts = [self.name, settings, self.commands, [cell.key() for cell in self.needs]]
        return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]

    def shortened(self, steps: int) -> Cell:
        """The same cell with fewer (or more) steps of training."""
        return replace(self, name=f"{self.name}-k{steps}", settings={**self.settings, "train.steps": steps})


def chosen(cells: list[Cell], pattern: str) -> list[Cell]:
    """The cells whose name matches a shell pattern, and all that they need, in order."""
    wanted: set[str] = set()

    def want(cells: Iterable[Cell]) -> None:
        for cell in cells:
            wanted.add(cell.name)
            want(cell.needs)

    want(cell for cell in cells if fnmatch.fnmatch(cell.name, pattern))
    return [cell for cell in cells if cell.name in wanted]
