"""The stage: what it needs, and what it makes of a run that is not finished."""

from __future__ import annotations

from typing import Any

import pytest

from stages.audit.stage import AuditStage
from stages.stage import UserError
from tests.stages.audit.audited import stats_of


@pytest.mark.parametrize("content", ["[]", "{}", '{"categories": []}', '{"categories": [{"id": 1}]}', "no json"])
def test_a_file_without_categories_is_the_users_mistake(shapes: Any, tmp_path: Any, content: str) -> None:
    file = tmp_path / "odd.json"
    file.write_text(content)
    run = shapes(audit={"categories": str(file)}).fill(3)
    with pytest.raises(UserError, match=r"audit\.categories: .*odd\.json"):
        run.audit()
    with pytest.raises(UserError, match="no such file"):
        AuditStage.resolve(shapes(audit={"categories": str(tmp_path / "none.json")}).config)


@pytest.mark.parametrize("until", ["pairs", "phrases", "labels"])
def test_a_run_that_is_not_finished(shapes: Any, until: str) -> None:
    run = shapes(part_size=40).fill(120, until=until, gold=False)
    headline = run.audit()
    stats = stats_of(run)
    assert headline["pairs"] == stats["pairs"] == len(run.rows["pairs"])
    assert stats["boxes"] == 0 and stats["boxes_per_image"] is None and stats["gold"] is None
    assert bool(stats["by_threshold"]) == (until == "labels")
    assert (stats["pairs_with_phrases"] > 0) == (until != "pairs")
    page = (run.root / "report" / "index.html").read_text()
    assert ("no labels yet" in page) == (until != "labels")
    sections = [
        name for name in ("funnel", "thresholds", "phrases", "boxes", "gold") if f'<section id="{name}">' in page
    ]
    assert sections == {"pairs": ["funnel"], "phrases": ["funnel", "phrases"]}.get(
        until, ["funnel", "thresholds", "phrases"]
    )


def test_summaries_and_report_are_the_same_bytes_every_time(shapes: Any) -> None:
    written = []
    for _ in range(2):
        run = shapes(part_size=40).fill(60)
        run.audit()
        files = sorted([*(run.root / "summaries").rglob("*.*"), *(run.root / "report").iterdir()])
        written.append({path.relative_to(run.root).as_posix(): path.read_bytes() for path in files})
    assert written[0] == written[1]
