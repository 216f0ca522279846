"""Every figure of stats.json, counted again in plain Python from the rows of the parts."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from stages.hashes import hash_texts
from tests.stages.audit.audited import asked_phrases, norms, stats_of, stored

np = pytest.importorskip("numpy")


def test_the_funnel_and_the_headline(run: Any) -> None:
    stats, kept, text = stats_of(run), stored(run, "pseudo"), norms(run)
    boxes = [(row["key"], box) for row in kept for box in row["boxes"]]
    with_boxes = [row for row in kept if row["boxes"]]
    assert stats["pairs"] == len(run.rows["pairs"])
    assert stats["pairs_with_image"] == sum(row["image"] is not None for row in run.rows["pairs"])
    assert stats["pairs_with_phrases"] == sum(bool(row["phrases"]) for row in run.rows["phrases"])
    assert stats["pairs_with_any_box"] == sum(bool(row["boxes"]) for row in run.rows["labels"])
    assert stats["pairs_with_boxes"] == len(with_boxes)
    assert stats["boxes"] == len(boxes)
    assert stats["boxes_per_image"] == len(boxes) / len(with_boxes)
    assert stats["unique_phrases"] == len({text[key][box["phrase"]] for key, box in boxes})
    heads = {row["key"]: [phrase["head"] for phrase in row["phrases"]] for row in run.rows["phrases"]}
    assert stats["unique_heads"] == len({heads[key][box["phrase"]] for key, box in boxes})
    rejected: dict[str, Counter[str]] = defaultdict(Counter)
    for row in run.rows["rejects/ingest"] + run.rows["rejects/label"]:
        rejected[row["stage"]][row["reason"]] += 1
    assert stats["rejected"] == {stage: dict(reasons) for stage, reasons in rejected.items()}
    for dataset in ("phrases", "labels", "pseudo"):
        dropped = Counter(entry["reason"] for row in run.rows[dataset] for entry in row["dropped"])
        assert stats["dropped"].get(dataset, {}) == dict(dropped)
    assert stats["exactness"]["unique_phrases"]["exact"] is True


def test_phrases_and_what_became_of_them(run: Any) -> None:
    stats, kept, text = stats_of(run), stored(run, "pseudo"), norms(run)
    owned = Counter((row["key"], box["phrase"]) for row in kept for box in row["boxes"])
    assert stats["phrases"] == sum(map(len, text.values()))
    assert stats["phrases_asked"] == len(asked_phrases(run)) < stats["phrases"]
    assert stats["phrases_grounded"] == len(owned)
    assert stats["boxes_per_phrase"] == sum(owned.values()) / len(owned)
    assert stats["unique_phrases_in_captions"] == len({norm for row in text.values() for norm in row})
    labelled = [box["score"] for row in stored(run, "labels") for box in row["boxes"]]
    assert stats["boxes_labelled"] == len(labelled)
    scores = Counter(min(max(math.ceil(round(score * 100, 9)) - 1, 0), 99) for score in labelled)
    assert stats["histograms"]["score_labelled"] == [scores[i] for i in range(100)]
    cyrillic = sum("мяч" in row["caption"] for row in run.rows["pairs"])
    assert stats["other_script"] == cyrillic > 0
    parts = len(run.all_parts().parts())
    datasets = ("planned", "counted", "pairs", "gold", "phrases", "labels", "pseudo")
    assert stats["parts"] == dict.fromkeys(datasets, parts)
    assert stats["gold"]["pairs"] == len(run.rows["gold"])


def test_the_page_of_the_docs_lists_every_key(run: Any) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "audit.md").read_text("utf-8")
    table = page.partition("## report/stats.json\n\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", table, re.MULTILINE)
    keys = {*stats_of(run), "side_tables", "curation", "masks", "scores", "teachers"}  # which this run has none of
    assert {name for first, _ in rows for name in re.findall(r"`(\w+)`", first)} == keys
    described = dict(rows)
    for name in ("phrases_tables", "box_shapes", "duplicates"):
        listed = set(re.findall(r"`(\w+)`", described[f"`{name}`"]))
        assert set(stats_of(run)[name]) <= listed, name
    histograms = page.partition("\n\nHistograms:")[2].partition("\n\n`report/phrases.parquet`")[0]
    assert set(re.findall(r"`(\w+)`", histograms)) == set(stats_of(run)["histograms"])


def test_tables_of_phrases(run: Any) -> None:
    stats, text = stats_of(run), norms(run)
    asked = Counter(text[key][i] for key, i in asked_phrases(run))
    owned = Counter((row["key"], box["phrase"]) for row in run.rows["pseudo"] for box in row["boxes"])
    boxes, grounded, several = Counter[str](), Counter[str](), Counter[str]()
    for (key, i), count in owned.items():
        boxes[text[key][i]] += count
        grounded[text[key][i]] += 1
        several[text[key][i]] += count > 1

    def expected(ordered: list[str]) -> list[dict[str, Any]]:
        seen = Counter(norm for row in text.values() for norm in row)
        return [
            {
                "phrase": p,
                "seen": seen[p],
                "asked": asked[p],
                "grounded": grounded[p],
                "several": several[p],
                "boxes": boxes[p],
            }
            for p in ordered[:40]
        ]

    tables = stats["phrases_tables"]
    assert tables["most_frequent"] == expected(sorted(boxes, key=lambda p: (-boxes[p], p)))
    hashes = dict(zip(boxes, hash_texts(boxes).tolist()))
    assert tables["rarest"] == expected(sorted(boxes, key=lambda p: (boxes[p], hashes[p])))
    assert tables["most_often_several"] == expected(sorted(+several, key=lambda p: (-several[p], p)))
    hardly = [p for p in asked if asked[p] >= 20 and grounded[p] <= 0.1 * asked[p]]
    assert hardly, "the made run has phrases that are asked for and never found"
    assert tables["most_often_ungrounded"] == expected(sorted(hardly, key=lambda p: (grounded[p] - asked[p], p)))
    ranked = sorted(boxes.values(), reverse=True)
    assert stats["rank_frequency"]["boxes"] == [[i + 1, count] for i, count in enumerate(ranked)]
    mentions = Counter(norm for row in text.values() for norm in row)
    assert tables["most_mentioned"] == expected(sorted(mentions, key=lambda p: (-mentions[p], p)))
    assert [count for _, count in stats["rank_frequency"]["seen"]] == sorted(mentions.values(), reverse=True)
    coco = stats["vocabularies"]["COCO"]
    heads = {p.split()[-1] for p in boxes}
    assert coco["names"] == 80
    assert 80 - coco["found"] == len(coco["missing"])
    assert coco["found"] == len({"sports ball", "kite"} & heads)
    assert coco["in_captions"] == len({"sports ball", "kite"} & {p.split()[-1] for p in mentions})
    assert list(stats["vocabularies"]) == ["COCO"]


def test_beyond_the_exact_limit_the_page_says_what_is_estimated(shapes: Any) -> None:
    run = shapes(part_size=20, audit={"exact_phrases": 12}).fill(200)
    run.audit()
    stats, text = stats_of(run), norms(run)
    phrases = stats["exactness"]["unique_phrases"]
    assert phrases["exact"] is False and 0 < phrases["sampled_share"] < 1
    kept = [text[row["key"]][box["phrase"]] for row in stored(run, "pseudo") for box in row["boxes"]]
    assert stats["boxes"] == len(kept)
    assert abs(stats["unique_phrases"] / len(set(kept)) - 1) <= 4 * phrases["relative_standard_error"]
    labels = [box for row in stored(run, "labels") for box in row["boxes"]]
    assert all(row["boxes"] == sum(box["score"] > row["threshold"] for box in labels) for row in stats["by_threshold"])
    undercount = stats["exactness"]["phrase_counts"]["undercount_at_most"]
    for row in stats["phrases_tables"]["most_frequent"]:
        assert row["boxes"] <= kept.count(row["phrase"]) <= row["boxes"] + undercount
    page = (run.root / "report" / "index.html").read_text()
    assert "Numbers of unique phrases are estimates" in page and "Every figure on this page is exact" not in page
