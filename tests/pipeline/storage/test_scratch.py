"""Scratch files appear complete or not at all, and blocks run until one of them fails."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.storage.files import RunFiles
from pipeline.storage.local import LocalStorage
from pipeline.storage.open import open_storage
from pipeline.storage.scratch import ScratchFolder
from stages.stage import Block, Scratch


def write(scratch: ScratchFolder, name: str, data: bytes) -> None:
    with scratch.create(name) as file:
        file.write(data)


def check(scratch: ScratchFolder) -> None:
    write(scratch, "deep/a", b"one")
    write(scratch, "b", b"two")
    assert scratch.names() == {"deep/a", "b"} and scratch.path("deep/a").read_bytes() == b"one"
    first = scratch.sha256("b")
    write(scratch, "b", b"three")
    assert scratch.path("b").read_bytes() == b"three" and scratch.sha256("b") != first
    with pytest.raises(ZeroDivisionError), scratch.create("c") as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert scratch.names() == {"deep/a", "b"}
    scratch.clear()
    assert scratch.names() == set()


def test_files_on_a_disk(tmp_path: Path) -> None:
    check(ScratchFolder(LocalStorage(str(tmp_path))))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_files_in_an_object_store(bucket: str) -> None:
    check(ScratchFolder(open_storage(f"{bucket}/run")))


@dataclass(frozen=True)
class Number:
    value: int

    @property
    def name(self) -> str:
        return f"numbers/{self.value}"

    def run(self, scratch: Scratch) -> None:
        with scratch.create(self.name) as file:
            file.write(f"{100 // self.value} {threading.current_thread().name}".encode())


@pytest.mark.parametrize("threads", [1, 3])
def test_blocks_that_are_there_are_not_made_again(tmp_path: Path, threads: int) -> None:
    said: list[tuple[int, int, str]] = []
    run = RunFiles(LocalStorage(str(tmp_path)), [], "merge", lambda *beat: said.append(beat))
    broken: list[Block] = [Number(4), Number(0)]
    with pytest.raises(ZeroDivisionError):
        run.run_blocks(broken, "dividing")
    assert run.scratch.names() == {"numbers/4"}
    before = run.scratch.path("numbers/4").stat()
    run.run_blocks([Number(value) for value in (2, 4, 5, 10)], "dividing", threads)
    assert [int(run.scratch.path(f"numbers/{value}").read_bytes().split()[0]) for value in (2, 4, 5, 10)] == [
        50,
        25,
        20,
        10,
    ]
    assert run.scratch.path("numbers/4").stat().st_ino == before.st_ino
    assert said[-1] == (4, 4, "dividing") and said[-3] == (2, 4, "dividing")
