"""phrasebox in Python: `phrasebox.open("runs/demo")` for notebooks, and the import names of all else (names.py)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from phrasebox import names

names.install()

from pipeline import __version__  # noqa: E402
from stages.stage import UserError  # noqa: E402

if TYPE_CHECKING:
    from phrasebox.run import Run

__all__ = ["UserError", "__version__", "open"]


def open(run: str | os.PathLike[str]) -> Run:
    """A run, to be looked at. Nothing is read yet but what says that it is one.

    `run`: a folder, or a URI such as s3://bucket/runs/web. Raises UserError where there is no run.
    """
    from phrasebox.run import Run

    return Run(os.fspath(run))
