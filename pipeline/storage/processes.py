"""Whether a process of this machine is still the one that it was."""

from __future__ import annotations

from pathlib import Path


def started_at(pid: int) -> str | None:
    """When a process of this machine began, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
