"""The run folder, as an argument or as an option."""

from __future__ import annotations

import pytest

from pipeline.cli.options import one_of
from stages.stage import UserError


def test_the_run_folder_is_named_once() -> None:
    assert [one_of("a", None), one_of(None, "a"), one_of("a", "a"), one_of(None, None)] == ["a", "a", "a", None]
    with pytest.raises(UserError, match="two run folders are named: a and --run b; give one"):
        one_of("a", "b")
