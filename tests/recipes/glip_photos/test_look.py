"""Sheets to look at: which photos are on them, and where."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.run.existing import read_run
from recipes.glip_photos.look import COLUMNS, WIDTH, drawn, main, sheets

PHOTOS = Path(__file__).resolve().parents[3] / "configs" / "photos"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the demo's photographs, most of which have two captions."""
    folder = tmp_path_factory.mktemp("runs") / "photos"
    arguments = ["run", "--source", str(PHOTOS), "--run", str(folder), "--until", "filter", "--inline"]
    done = CliRunner().invoke(app, [*arguments, "--set", "label.teacher=glip-nano"])
    assert done.exit_code == 0, done.output
    return str(folder)


def test_every_image_is_drawn_once_and_the_seed_draws(run: str) -> None:
    io = read_run(run)
    keys = drawn(io, 40, 0)
    assert len(keys) == 8 and keys == sorted(set(keys))
    some = [drawn(io, 3, seed) for seed in (0, 0, 1, 2)]
    assert all(len(one) == 3 and set(one) < set(keys) for one in some)
    assert some[0] == some[1] and len({tuple(one) for one in some}) > 1


def test_a_sheet_has_the_photos_with_their_boxes(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([run, "--out", str(tmp_path / "kept")])
    main([run, "--threshold", "0.1", "--out", str(tmp_path / "all")])
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{tmp_path}/kept-1.png", f"{tmp_path}/all-1.png"]
    kept, every = (np.asarray(Image.open(path)) for path in said)
    assert kept.shape == every.shape and kept.shape[1:] == (COLUMNS * WIDTH, 3)
    assert (kept != every).any()
    right = kept[:, 3 * WIDTH :]  # the two photos there are in the upper of two rows: there are eight, not ten
    assert (right[-50:] == kept[-1, -1]).all() and (right[:100] != kept[-1, -1]).any()


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (20, [20]), (41, [20, 20, 1])])
def test_twenty_photos_are_on_a_sheet(count: int, sizes: list[int]) -> None:
    found = list(sheets([Image.new("RGB", (390, 90)) for _ in range(count)]))
    assert [sheet.height / 100 for sheet in found] == [-(-size // COLUMNS) for size in sizes]


def test_a_folder_that_is_no_run_is_an_error_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file.json").write_text(json.dumps({}))
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path)])
    assert "no run here" in capsys.readouterr().err
