"""Side tables in the report: counted from their rows, whatever they are called, and nothing where there are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from stages.audit.stage import AuditStage
from stages.ingest.stage import IngestStage
from stages.stage import MapStage, Output, PartIO, PartResult


def add_tables(run: Any) -> None:
    """A curation that drops every fifth pair, and a score for each labelled box."""
    for part in run.all_parts().parts():
        pairs = [row for row in run.rows["pairs"] if int(row["key"][:7]) == part]
        dropped = {"keep": False, "reason": "near_duplicate"}
        rows = [{"key": row["key"], "keep": True, **(dropped if n % 5 == 0 else {})} for n, row in enumerate(pairs)]
        rows[1] |= {"keep": False, "reason": "benchmark_leak"}
        run.write("curation", part, rows)
        labels = [row for row in run.rows["labels"] if int(row["key"][:7]) == part]
        scores = [{"key": row["key"], "boxes": [{"score": 0.5}] * len(row["boxes"])} for row in labels]
        run.write("scores", part, scores)


def test_rows_items_and_what_is_set_aside(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40, seed=5).fill(130)
    add_tables(run)
    run.audit()
    stats = json.loads((run.root / "report" / "stats.json").read_text("utf-8"))
    leaks = sum(row.get("reason") == "benchmark_leak" for row in run.rows["curation"])
    near = sum(row.get("reason") == "near_duplicate" for row in run.rows["curation"])
    boxes = sum(len(row["boxes"]) for row in run.rows["labels"])
    assert leaks == 4 and near > 20
    assert stats["side_tables"] == {
        "curation": {"rows": len(run.rows["pairs"]), "set_aside": {"benchmark_leak": leaks, "near_duplicate": near}},
        "scores": {"rows": len(run.rows["labels"]), "items": boxes},
    }
    page = (run.root / "report" / "index.html").read_text("utf-8")
    kept = f"{len(run.rows['pairs']) - leaks - near:,}"
    assert f'<tr><th scope="row">kept by curation</th><td class="n">{kept}</td>' in page
    assert "<b>Side tables</b>" in page and f"<code>near_duplicate</code> {near}" in page


def test_a_run_without_them_has_the_report_that_it_had(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40, seed=5).fill(60)
    run.audit()
    assert "side_tables" not in (run.root / "report" / "stats.json").read_text("utf-8")
    page = (run.root / "report" / "index.html").read_text("utf-8")
    assert "Side tables" not in page and "kept by" not in page
    assert all("side_tables" not in path.read_text("utf-8") for path in run.root.glob("summaries/audit/*.json"))


def test_the_audit_reads_every_side_table_and_the_rejects_of_every_stage() -> None:
    class Beside(MapStage):
        name = "beside"
        outputs = (Output("opinions", aligned_with="pairs"), Output("notes"))

        def run_part(self, io: PartIO) -> PartResult:
            raise NotImplementedError

    found = {item.dataset: item.need for item in AuditStage.all_inputs([IngestStage, Beside])}
    assert found["pairs"] == "always" and "notes" not in found
    assert {found[name] for name in ("opinions", "rejects/ingest", "rejects/beside")} == {"if_present"}
