"""A process is told from another that got its number later."""

from __future__ import annotations

import os
import subprocess
import sys

from pipeline.storage.processes import started_at
from tests.waiting import wait_for


def test_a_process_has_a_start_as_long_as_it_lives() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = started_at(child.pid)
    assert started is not None and started == started_at(child.pid)
    assert int(started) >= int(started_at(os.getpid()) or 0)
    child.kill()
    wait_for(lambda: started_at(child.pid) is None)  # a zombie is none
    child.communicate()
    assert started_at(child.pid) is None


def test_a_number_that_nobody_has_is_no_process() -> None:
    assert started_at(1 << 22) is None
