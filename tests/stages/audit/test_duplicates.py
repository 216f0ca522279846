"""What was set aside, as figures: counted again from the files by plain Python, which notices every broken file."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.run.config import load_config
from stages.audit.duplicates import Leak, Replaced, group_figures, leak_figures, source_figures
from tests.stages.audit.audited import stats_of
from tests.stages.audit.curated import ODD_NAME, audited
from tests.stages.audit.recount_curation import Recount
from tests.stages.conftest import DiskIO

Row = dict[str, Any]


def stats(run: Path) -> Row:
    found: Row = json.loads((run / "report" / "stats.json").read_text("utf-8"))["curation"]
    return found


def without_likeness(found: Row) -> Row:
    """What the recount counts of a run that was curated by signatures."""
    groups = [
        {**group, "copies": [{**copy, "likeness": None} for copy in group["copies"]]}
        for group in found["largest_groups"]
    ]
    return {**found, "largest_groups": groups, "threshold": None}


def close(found: Any) -> Any:
    """With floats that may differ in their last digits."""
    if isinstance(found, dict):
        return {name: close(value) for name, value in found.items()}
    if isinstance(found, list):
        return [close(value) for value in found]
    return pytest.approx(found, abs=2e-4) if isinstance(found, float) else found


def recounted(run: Path) -> Row:
    return Recount(run, load_config(None, (), str(run))).figures()


def test_every_figure_of_a_run_by_signatures(perceptual: Path) -> None:
    found, expected = stats(perceptual), recounted(perceptual)
    assert without_likeness(found) == close(expected)
    assert expected["set_aside"] == {
        **{"benchmark_leak": 3, "exact_duplicate": 2, "extreme_aspect": 1},
        "near_duplicate": 12,
    }
    assert expected["groups"] > 3 and expected["largest_groups"][0]["pairs"] > 6
    names = [row["source"] for row in found["sources"]]
    assert sorted(names) == ["cc/00000.tar", "cc/00001.tar", "laion/part/00000.tar"]
    assert found["leaks"]["benchmarks"] == [{"benchmark": "val:2017", "pairs": 3, "images": 2}]


def test_the_likeness_of_a_run_by_signatures(perceptual: Path) -> None:
    found = stats(perceptual)
    threshold = found["threshold"]
    copies = [copy for group in found["largest_groups"] for copy in group["copies"]]
    near = [copy["likeness"] for copy in copies if copy["reason"] == "near_duplicate"]
    assert threshold["setting"] == "min_likeness" and threshold["value"] == 0.8
    assert threshold["near_duplicates"] == threshold["measured"] == found["set_aside"]["near_duplicate"]
    assert threshold["by_threshold"][0] == {"threshold": 0.8, "pairs": threshold["measured"]}  # none by way of another
    assert len(near) > 5 and min(near) >= 0.8
    assert {copy["likeness"] for copy in copies if copy["reason"] == "exact_duplicate"} == {None}
    least = [copy["likeness"] for copy in threshold["least_alike"]]
    assert len(least) == 8 and least == sorted(least) and least[0] <= min(near)


def test_every_figure_of_a_run_by_vectors(by_vectors: Path) -> None:
    found, expected = stats(by_vectors), recounted(by_vectors)
    assert found == close(expected)
    assert expected["threshold"]["near_duplicates"] >= 6 and len(expected["similarity"]["by_threshold"]) > 1
    assert expected["clusters"]["clusters"] == 2 and expected["clusters"]["largest"][1]["typical"]


BREAKS: dict[str, Callable[[list[Row]], None]] = {
    "kept": lambda rows: rows[0].update(keep=False, reason="near_duplicate", duplicate_of=rows[1]["key"]),
    "reason": lambda rows: next(row for row in rows if row["reason"]).update(reason="small_image"),
    "another image": lambda rows: next(row for row in rows if row["duplicate_of"]).update(duplicate_of=rows[-1]["key"]),
    "cluster": lambda rows: rows[0].update(cluster=1 - rows[0]["cluster"]),
    "similarity": lambda rows: rows[0].update(similarity=0.9),
    "a row less": lambda rows: rows.remove(rows[0]),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_file_does_not_go_unnoticed(by_vectors: Path, tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(by_vectors, run)
    tables = {path: pq.read_table(path) for path in sorted((run / "curation").glob("*.parquet"))}
    path = next(path for path, table in tables.items() if any(table["duplicate_of"].to_pylist()))
    rows = tables[path].to_pylist()
    BREAKS[name](rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=tables[path].schema), path)
    assert stats(run) != close(Recount(run, load_config(None, (), str(by_vectors))).figures())


def test_a_run_without_curation_has_no_such_part(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40).fill(60)
    run.audit()
    assert "curation" not in stats_of(run) and not [*run.root.glob("summaries/audit/*.curation.parquet")]
    page = (run.root / "report/index.html").read_text("utf-8")
    folder = Path(__file__).parents[3] / "stages/audit/page"
    for name in ("duplicates.css", "duplicates.js"):
        lines = (folder / name).read_text("utf-8").splitlines()
        assert len(lines) > 10 and lines[2].strip() not in page
    assert 'id="duplicates"' not in page and 'href="#duplicates"' not in page


def test_a_curation_that_is_turned_off_has_none_either(perceptual: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(perceptual, run)
    off = ("--set=curate.duplicates=off", "--set=curate.against=[]", "--set=curate.max_aspect=null")
    assert "curation" not in audited(run, *off)


def test_ties_and_sizes_of_groups() -> None:
    """Of groups of a size, the first; of more than are listed, the largest; those beyond twenty pairs together."""
    kept = np.repeat(np.arange(100, 120), [1] * 18 + [19, 40])
    found = Replaced(np.arange(1000, 1000 + len(kept)), kept, np.zeros(len(kept), np.bool_), {})
    figures = group_figures(DiskIO(Path("nowhere")), found, load_config(None, (), None).curate)
    assert [group["kept"] for group in figures["largest_groups"]] == [
        f"{key:012d}" for key in (119, 118, *range(100, 110))
    ]
    assert figures["largest_groups"][0]["copies"][0]["pair"] == "000000001037" and figures["groups"] == 20
    assert figures["largest_groups"][0]["pairs"] == 41 and len(figures["largest_groups"][0]["copies"]) == 5
    assert figures["group_sizes"] == [18, *[0] * 17, 2] and figures["in_groups"] == 97


def test_leaks_belong_to_the_benchmark_with_the_longest_name() -> None:
    leaks = {"a:b:1.jpg": Leak(2, [1, 2]), "a:2.jpg": Leak(5, [3, 4, 5]), "gone:7": Leak(1, [6])}
    found = leak_figures(leaks, ["a", "a:b"])
    assert found is not None
    assert [(row["benchmark"], row["pairs"]) for row in found["benchmarks"]] == [("a", 5), ("a:b", 2), ("gone", 1)]
    assert [row["image"] for row in found["most"]] == ["a:2.jpg", "a:b:1.jpg", "gone:7"]
    assert found["most"][0]["copies"] == ["000000000003", "000000000004", "000000000005"]
    assert leak_figures({}, ["a"]) is None


def test_sources_are_named_below_what_they_share() -> None:
    def named(*names: str) -> list[str]:
        return sorted(row["source"] for row in source_figures({name: {"pairs": 1, "set_aside": {}} for name in names}))

    assert named("/data/a/0.tar", "/data/b/0.tar", "") == ["", "a/0.tar", "b/0.tar"]
    assert named("/data/a/0.tar") == ["0.tar"] and named("/data/a", "/data/a/b") == ["a", "a/b"]
    assert named("") == [""] and source_figures({}) == []


@pytest.mark.parametrize("name", ["perceptual", "by_vectors"])
def test_the_page_of_the_docs_lists_every_key(request: pytest.FixtureRequest, name: str) -> None:
    page = (Path(__file__).parents[3] / "docs" / "audit.md").read_text("utf-8")
    text = page.partition("\n`curation` holds")[2].partition("\n`scores` holds")[0]
    listed = set(re.findall(r"`(\w+)`", text))
    keys = set(names_of(stats(request.getfixturevalue(name))))
    assert len(keys) > 25 and keys - listed == set()


def names_of(found: Any) -> Iterator[str]:
    """Keys at every depth, but reasons."""
    if isinstance(found, dict):
        for name, value in found.items():
            yield name
            yield from names_of(value) if name != "set_aside" else ()
    for entry in found if isinstance(found, list) else ():
        yield from names_of(entry)


def test_a_hostile_name_is_a_key_like_any_other(perceptual: Path) -> None:
    rows = [row for path in sorted((perceptual / "pairs").glob("*")) for row in pq.read_table(path).to_pylist()]
    key = next(row["key"] for row in rows if row["source_id"].endswith(ODD_NAME))
    assert any(key in leak["copies"] for leak in stats(perceptual)["leaks"]["most"])
