"""What changed between two runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from stages.audit.compare import compare_runs
from stages.audit.page import text as page_text
from tests.stages.audit.browser import Browser


def test_a_comparison_opens(browser: Browser, shapes: Callable[..., Any], tmp_path: Path) -> None:
    runs = [shapes(seed=3, filter={"min_score": score}).fill(40) for score in (0.5, 0.8)]
    for run in runs:
        run.audit()

    @contextmanager
    def create(name: str) -> Iterator[BinaryIO]:
        with open(tmp_path / name, "wb") as file:
            yield file

    before, after = runs
    changes = compare_runs(after.all_parts(), before.all_parts(), after.config, before.config, create)
    kept = [[box for row in run.rows["pseudo"] for box in row["boxes"]] for run in runs]
    assert changes["boxes"] == {
        "before": len(kept[0]),
        "after": len(kept[1]),
        "change": (len(kept[1]) - len(kept[0])) / len(kept[0]),
    }
    result = json.loads((tmp_path / "stats.json").read_text())
    assert result["settings"] == [{"name": "filter.min_score", "before": 0.5, "after": 0.8}]
    texts = [{p["key"]: [x["norm"] for x in p["phrases"]] for p in run.rows["phrases"]} for run in runs]
    norms = [
        {texts[i][row["key"]][box["phrase"]] for row in run.rows["pseudo"] for box in row["boxes"]}
        for i, run in enumerate(runs)
    ]
    assert result["phrases"]["lost"] == len(norms[0] - norms[1]) > 0
    assert {row["phrase"] for row in result["phrases"]["most_lost"]} == norms[0] - norms[1]
    assert result["phrases"]["gained"] == 0
    stats = [json.loads((run.root / "report" / "stats.json").read_text()) for run in runs]
    grounded = [s["phrases_grounded"] / s["phrases_asked"] for s in stats]
    whole = [s["box_shapes"]["whole_image_share"] for s in stats]
    recall = [s["gold"]["at_min_score"]["recall"] for s in stats]
    for name, values in (("phrases_grounded", grounded), ("whole_image", whole), ("gold_recall", recall)):
        assert result["shares"][name] == {"before": values[0], "after": values[1], "change": values[1] - values[0]}
    assert set(result["shares"]) == set(page_text.SHARE_NAMES)
    assert result["same_labels"] is True  # the runs differ in their filter alone
    browser.open(tmp_path / "index.html")
    assert browser.run("document.querySelectorAll('.matched').length") == result["pictures"]["compared"] == 24
    differ = browser.run(
        "[...document.querySelectorAll('.matched')].map(t => new Set([...t.querySelectorAll('.card')].map(c =>"
        " c.querySelectorAll('rect.box').length)).size > 1)"
    )
    assert sum(differ) == result["pictures"]["changed"] > 0
    assert differ == sorted(differ, reverse=True)  # what changed comes first
    assert f"{page_text.share(recall[0])}{page_text.share(recall[1])}" in browser.run("document.body.textContent")
    assert browser.complaints == []
