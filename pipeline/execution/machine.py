"""What a worker says of its machine when it starts, and what of it must be as on the machine that started the run."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("numpy", "pillow", "pyarrow", "pydantic", "safetensors", "tokenizers", "torch")


@dataclass(frozen=True)
class Machine:
    host: str
    log: str  # the file that holds what this process says on stderr; empty where there is none
    versions: Mapping[str, str]  # by package; what is not installed is not there


def this_machine() -> Machine:
    try:
        log = os.readlink("/proc/self/fd/2")
    except OSError:
        log = ""
    return Machine(socket.gethostname(), log, versions())


def versions() -> dict[str, str]:
    """Without the part after `+`: a CPU build and a CUDA build of one release get along."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        try:
            found[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            continue
    return found


def unlike(mine: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """What another machine lacks of this one's packages, or has in another version: the same bytes need the same."""
    return [
        f"{name} {wanted} is not installed" if name not in theirs else f"{name} is {theirs[name]}, not {wanted}"
        for name, wanted in mine.items()
        if theirs.get(name) != wanted
    ]
