"""A run as a notebook sees it: frames that hold what the files hold, images, and errors that say what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import phrasebox
from tests.phrasebox.conftest import run_command

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "ray", "pandas", "pyarrow", "numpy", "duckdb", "PIL", "webdataset", "transformers", "typer", "rich")


def stored(run: str, dataset: str) -> list[dict[str, Any]]:
    """The rows of all parts, as they lie on the disk."""
    paths = sorted(Path(run, dataset).glob("part-*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def labelled(run: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """(key, number, box) of every labelled box."""
    for row in stored(run, "labels"):
        yield from ((row["key"], number, box) for number, box in enumerate(row["boxes"]))


def test_pairs_and_phrases_are_those_of_the_files(finished: str) -> None:
    run = phrasebox.open(finished)
    pairs = run.pairs()
    assert isinstance(pairs, pd.DataFrame) and len(pairs) == 10
    assert pairs["key"].tolist() == [row["key"] for row in stored(finished, "pairs")]
    assert pairs["image"].tolist() == [row["image"] for row in stored(finished, "pairs")]
    expected = [
        (row["key"], number, phrase["text"])
        for row in stored(finished, "phrases")
        for number, phrase in enumerate(row["phrases"])
    ]
    phrases = run.phrases()
    assert list(zip(phrases["key"], phrases["phrase"], phrases["text"])) == expected and len(expected) >= 20


def test_boxes_are_the_kept_ones_or_all_above_a_score(finished: str) -> None:
    run = phrasebox.open(finished)
    dropped = {(row["key"], entry["box"]) for row in stored(finished, "pseudo") for entry in row["dropped"]}
    every = list(labelled(finished))
    scores = sorted(box["score"] for _, _, box in every)
    middle = scores[len(scores) // 2]  # itself not above it
    kept, above = run.boxes(), run.boxes(min_score=middle)
    assert dropped and list(zip(kept["key"], kept["box"])) == [
        (key, number) for key, number, _ in every if (key, number) not in dropped
    ]
    rows = above[["key", "box", "x1", "y1", "x2", "y2", "score"]].itertuples(index=False, name=None)
    assert list(rows) == [
        (key, number, *(box[name] for name in ("x1", "y1", "x2", "y2", "score")))
        for key, number, box in every
        if box["score"] > middle
    ]
    assert 0 < len(above) < len(every)


def test_tables_come_as_pandas_arrow_or_duckdb(finished: str) -> None:
    run = phrasebox.open(finished)
    table = run.boxes(as_="arrow")
    assert isinstance(table, pa.Table) and table.schema.field("score").type == pa.float32()
    relation = run.boxes(as_="duckdb")
    best = relation.filter("phrase = 0").aggregate("max(score)").fetchall()
    of_the_first = table.filter(pa.compute.equal(table["phrase"], 0))
    assert best == [(pa.compute.max(of_the_first["score"]).as_py(),)]
    assert run.query("SELECT count(*) AS boxes FROM boxes_flat WHERE kept")["boxes"].tolist() == [table.num_rows]
    assert run.query("SELECT 1 AS one", as_="arrow").to_pylist() == [{"one": 1}]
    with pytest.raises(ValueError, match="as_='polars': expected 'pandas', 'arrow' or 'duckdb'"):
        run.pairs(as_="polars")  # type: ignore[arg-type]


def test_an_image_is_shown_with_its_boxes(finished: str) -> None:
    run = phrasebox.open(finished)
    key = run.boxes()["key"][0]
    image = run.show(key)
    assert isinstance(image, Image.Image) and image._repr_png_() is not None  # what a notebook asks for
    assert image.width == 240  # 60 pixels, upright, four times as large
    more = run.show(key, min_score=-1.0)
    assert more.size == image.size and more.tobytes() != image.tobytes()


def test_errors_say_what_to_do(finished: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(phrasebox.UserError, match=r"nothing: no run here \(neither config.yaml nor plan.json\)"):
        phrasebox.open(tmp_path / "nothing")
    run = phrasebox.open(finished)
    with pytest.raises(phrasebox.UserError, match="the run has no pair 000000900000"):
        run.show("000000900000")
    with pytest.raises(phrasebox.UserError, match=r"query: .*no_such_table"):
        run.query("SELECT * FROM no_such_table")
    with pytest.raises(phrasebox.UserError, match=r"query: .*no statement"):
        run.query("-- later")
    with pytest.raises(ValueError, match="resampled=True only"):
        run.webdataset(samples=10)


def test_what_is_not_there_yet_names_its_command(source: Path, tmp_path: Path) -> None:
    """And once the command has run, the same object finds it."""
    path = str(tmp_path / "run")
    settings = ["part_size=4", "ingest.format=folder", f"ingest.source={source}"]
    run_command("ingest", path, *settings)
    run = phrasebox.open(path)
    assert len(run.pairs()) == 10
    for call, dataset, command in (
        (run.phrases, "phrases", "phrases"),
        (run.boxes, "pseudo", "filter"),
        (lambda: run.boxes(min_score=0.5), "labels", "label"),
        (run.webdataset, "shards", "shard"),
    ):
        with pytest.raises(phrasebox.UserError) as error:
            call()
        assert str(error.value) == f"{path}: there are no {dataset} yet; run `phrasebox {command} --run {path}` first"
    run_command("phrases", path)
    assert len(run.phrases()) >= 20


def test_a_caption_without_an_image_cannot_be_shown(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("caption\turl\na dog\thttps://example.org/1\n")
    settings = [
        f"ingest.source={tmp_path}/pairs.tsv",
        "ingest.format=table",
        "ingest.url=url",
        "ingest.caption=caption",
    ]
    run_command("ingest", tmp_path / "run", *settings)
    with pytest.raises(phrasebox.UserError, match=r"show: 000000000000: no image: no_image"):
        phrasebox.open(tmp_path / "run").show("000000000000")


def test_the_import_is_light() -> None:
    code = (
        "import json, sys, phrasebox; print(json.dumps([name for name in sys.argv[1:] if name in sys.modules]));"
        "print(phrasebox.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", code, *HEAVY], cwd=ROOT, capture_output=True, text=True, timeout=120)
    loaded, version = done.stdout.splitlines()
    assert json.loads(loaded) == [] and version == phrasebox.__version__


def test_repr_names_the_run(finished: str) -> None:
    assert repr(phrasebox.open(finished)) == f"phrasebox.open({finished!r})"
