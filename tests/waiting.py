"""Waiting for what happens in other processes: for the event itself, and never for a time in which it should happen."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 1800.0  # seconds: on a machine however busy, only a hang takes so long
Found = TypeVar("Found")


def wait_for(event: Callable[[], Found], process: subprocess.Popen[Any] | None = None) -> Found:
    """The first true value of `event`. The test fails where the process that brings it about ends before, or hangs."""
    end = time.monotonic() + LIMIT
    while not (found := event()):
        if process is not None and process.poll() is not None:
            if found := event():  # the last thing that it did
                return found
            pytest.fail(f"the process ended with {process.returncode}: {process.communicate()}")
        assert time.monotonic() < end, f"it has not come within {LIMIT:g} s"
        time.sleep(0.02)
    return found


def finish_what_is_killed(command: Sequence[str], sign: Path) -> None:
    """Runs a command that is killed, with all of its processes, as soon as a file is there, and then runs it again."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    wait_for(sign.exists, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stderr=subprocess.DEVNULL)
