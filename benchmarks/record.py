"""What every benchmark needs: the repository's root, the processor's name, and a result's way into its file."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]  # commands run here


def processor_name() -> str:
    """The model of the processor, where the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def command_line(module: str) -> str:
    """What was typed, less where the result goes."""
    return " ".join([f"python -m {module}", *without_out(sys.argv[1:])])


def without_out(arguments: list[str]) -> list[str]:
    """The command line less where its result goes."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument != "--out" and not argument.startswith("--out="):
            kept.append(argument)
        skip = argument == "--out"
    return kept


def publish(result: dict[str, Any], out: Path | None) -> None:
    """Prints a result and, where `out` is given, keeps it there."""
    text = json.dumps(result, indent=1) + "\n"
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
