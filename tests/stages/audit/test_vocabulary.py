"""Category names of benchmarks, and how much of them the labels cover."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tests.stages.audit.audited import stats_of, stored


def test_categories_of_an_annotation_file(shapes: Any, tmp_path: Any) -> None:
    """LVIS's own spelling: underscores, remarks in brackets, synonyms, a class of frequency each."""
    names = [("ball", ["ball", "globe_(toy)"], "f"), ("kite_(toy)", ["kite_(toy)"], "c"), ("Old_Days", [], "r")]
    names += [("giant_squid", ["giant_squid", "kraken"], "r")]
    records = [{"id": i, "name": n, "synonyms": s, "frequency": f} for i, (n, s, f) in enumerate(names)]
    file = tmp_path / "lvis_v1_val.json"
    file.write_text(json.dumps({"images": [{"id": 1}], "categories": records, "annotations": []}))
    run = shapes(audit={"categories": str(file), "exact_phrases": 10}).fill(60)
    run.audit()
    stats = stats_of(run)
    found = {name: cover for name, cover in stats["vocabularies"].items() if name != "COCO"}
    assert list(found) == [
        f"lvis_v1_val, {name}" for name in ("common", "frequent", "rare")
    ]  # stats.json has its keys in order
    heads = Counter(p["head"] for row in run.rows["phrases"] for p in row["phrases"])
    owned = [(row["key"], box["phrase"]) for row in stored(run, "pseudo") for box in row["boxes"]]
    head_of = {(row["key"], i): p["head"] for row in run.rows["phrases"] for i, p in enumerate(row["phrases"])}
    boxes = Counter(head_of[phrase] for phrase in owned)
    assert heads["ball"] and heads["kite"] and heads["days"]
    assert found["lvis_v1_val, frequent"]["found_10"] == (boxes["ball"] >= 10)
    assert found["lvis_v1_val, common"]["found"] == (boxes["kite"] > 0)
    assert (found["lvis_v1_val, rare"]["names"], found["lvis_v1_val, rare"]["in_captions"]) == (2, 0)
    assert found["lvis_v1_val, rare"]["missing"] == ["giant squid", "old days"]
