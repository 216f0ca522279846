"""Views of a run: tables on a terminal, comparisons, and files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli import views
from pipeline.cli.views import compare, into, read_names, rounded
from stages.stage import UserError


def test_a_file_that_is_not_finished_is_not_there(tmp_path: Path) -> None:
    create = into(str(tmp_path / "out"))
    with create("a/b.txt") as file:
        file.write(b"whole")
    with pytest.raises(KeyboardInterrupt), create("a/c.txt") as file:
        file.write(b"ha")
        raise KeyboardInterrupt
    found = [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert found == ["a/b.txt"] and (tmp_path / "out/a/b.txt").read_bytes() == b"whole"


def test_a_long_table_says_that_there_is_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(views, "SHOWN_ROWS", 2)
    views._table(["name", "count"], iter([("dog \x1b[2J", 3), (None, 1), ("cat", 0)]))
    text = capsys.readouterr().out
    assert "name" in text and r"dog \x1b[2J" in text and "cat" not in text
    assert "... and more: the first 2 rows are shown" in text
    views._table(["name"], [("dog",)])
    assert "more" not in capsys.readouterr().out


def test_a_run_is_not_compared_with_itself(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="that is the run itself"):
        compare(str(tmp_path), f"{tmp_path}/../{tmp_path.name}", None)


def test_a_list_of_names_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text(" Dog\n\nfire hydrant\r\ndog\n日本\n", encoding="utf-8")
    assert read_names(str(path)) == ("dog", "fire hydrant", "日本")
    path.write_bytes(b"\n \n")
    with pytest.raises(UserError, match="no line has a name in it"):
        read_names(str(path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="cannot be read"):
        read_names(str(path))
    with pytest.raises(UserError, match="cannot be read"):
        read_names(str(tmp_path / "nowhere.txt"))


def test_figures_are_short() -> None:
    assert [rounded(figure) for figure in (0.123456, 1234567, None)] == ["0.1235", "1234567", "None"]
