"""The command, in this process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from pipeline.cli.app import main


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def phrasebox(capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The command, in this process."""
    on_term = signal.getsignal(signal.SIGTERM)

    def call(*arguments: str) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        text = capsys.readouterr()
        return Done(int(left.value.code or 0), text.out, text.err)

    yield call
    signal.signal(signal.SIGTERM, on_term)
