"""Machines that have other packages than the driver's are told apart."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.execution import machine
from pipeline.execution.machine import this_machine, unlike, versions


def test_only_what_differs_is_named() -> None:
    mine = {"python": "3.12", "torch": "2.13.0", "pyarrow": "24.0"}
    assert unlike(mine, {**mine, "something": "1"}) == []
    assert unlike(mine, {"python": "3.11", "torch": "2.13.0"}) == [
        "python is 3.11, not 3.12",
        "pyarrow 24.0 is not installed",
    ]


def test_builds_of_one_release_are_one_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "version", lambda name: "2.13.0+cu128")
    assert set(versions()) == {"python", *machine.PACKAGES} and versions()["torch"] == "2.13.0"


def test_a_package_that_is_not_there_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise machine.PackageNotFoundError(name)

    monkeypatch.setattr(machine, "version", missing)
    assert versions() == {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}


def test_a_process_tells_where_its_errors_go(tmp_path: Path) -> None:
    code = "from pipeline.execution.machine import this_machine; print(this_machine().log)"
    with open(tmp_path / "worker.err", "w") as errors:
        root = Path(__file__).resolve().parents[3]
        done = subprocess.run([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert done.stdout.strip() == str(tmp_path / "worker.err")
    assert this_machine().host == socket.gethostname()
