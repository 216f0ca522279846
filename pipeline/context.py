"""What all tasks of a run share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Context:
    """What all tasks of a run share; it travels to a worker once."""

    root: str
    config: str  # the resolved config, as JSON
    run_id: str
