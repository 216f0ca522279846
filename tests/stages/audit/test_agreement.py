"""Agreement with true boxes is that of `phrasebox evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stages.evaluate.labels import evaluate_labels
from stages.ingest.categories import write_categories
from tests.stages.audit.audited import stats_of
from tests.stages.audit_run import SyntheticRun


def test_agreement_is_that_of_evaluate(run: Any) -> None:
    stats = stats_of(run)["gold"]
    evaluated = evaluate_labels(run.all_parts(), 0.5, lambda done: None)["agreement"]["all"]
    rows = {row["threshold"]: row for row in stats["by_threshold"]}
    for row in evaluated["curve"]:
        mine = rows[row["threshold"]]
        assert (mine["judged"], mine["matched"], stats["boxes"]) == (row["boxes"], row["right"], row["gold"])
        assert (mine["precision"], mine["recall"]) == (row["precision"], row["recall"])
    assert 0.5 < stats["at_min_score"]["recall"] < stats["at_min_score"]["precision"] < 1


def test_truth_without_spans_is_named_by_its_category(shapes: Any) -> None:
    """Every image is judged on all categories of the run, whatever part they are in, and on nothing else."""
    run = shapes(part_size=15).fill(40, gold=False)
    gold = []
    for row in run.rows["labels"]:
        best = max(row["boxes"], key=lambda box: box["score"], default=None)
        phrases = phrases_of(run, row["key"])
        boxes = [{**best, "span": -1, "category": phrases[best["phrase"]]["head"].upper()}] if best else []
        gold.append({"key": row["key"], "spans": [], "boxes": boxes})
    for part in run.all_parts().parts():
        run.write("gold", part, [row for row in gold if int(row["key"][:7]) == part])
    run.audit()
    stats = stats_of(run)["gold"]
    vocabulary = {box["category"].lower() for row in gold for box in row["boxes"]}
    heads = [phrases_of(run, row["key"])[box["phrase"]]["head"] for row in run.rows["labels"] for box in row["boxes"]]
    named = sum(head in vocabulary for head in heads)
    assert 0 < named < len(heads)
    assert (stats["boxes"], stats["categories"]) == (sum(bool(row["boxes"]) for row in gold), len(vocabulary))
    assert stats["named"] == stats["boxes"]
    lowest = stats["by_threshold"][0]
    assert (lowest["judged"], lowest["unjudged"], lowest["recall"]) == (named, len(heads) - named, 1.0)


def phrases_of(run: Any, key: str) -> list[dict[str, Any]]:
    return next(row["phrases"] for row in run.rows["phrases"] if row["key"] == key)


ZOO = [  # caption, (norm, score) of a box each, true categories; the images are empty parks but for the dogs
    ("a dog and a zebra under the sky", [("dog", 0.9), ("zebra", 0.8), ("sky", 0.7)], ["dog"]),
    ("a zebra in a field", [("zebra", 0.6), ("field", 0.95)], []),
    ("a dog", [("dog", 0.4)], ["dog"]),
]


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ([], {0.0: (2, 2, 4), 0.5: (1, 1, 4), 0.75: (1, 1, 2)}),  # judged, right, unjudged above a threshold
        (["Dog", "zebra"], {0.0: (4, 2, 2), 0.5: (3, 1, 2), 0.75: (2, 1, 1)}),
    ],
)
def test_a_category_that_the_gold_knows_is_wrong_where_it_is_not(
    run_of: Any, listed: list[str], expected: dict[float, tuple[int, int, int]]
) -> None:
    """Issue 17: "a hallucinated zebra beside a gold dog counts as nothing". The source lists what it looked for."""
    run = run_of(ZOO, listed)
    run.audit()
    stats = stats_of(run)["gold"]
    rows = {row["threshold"]: (row["judged"], row["matched"], row["unjudged"]) for row in stats["by_threshold"]}
    floor = stats["by_threshold"][0]["threshold"]
    assert {t: rows[max(t, floor)] for t in expected} == expected
    assert (stats["pairs"], stats["boxes"], stats["categories"]) == (3, 2, len(listed) or 1)
    assert sum(bin["boxes"] for bin in stats["calibration"]) == expected[0.0][0]


def test_true_boxes_that_the_caption_names_are_counted(run_of: Any) -> None:
    run = run_of([("a dog", [("dog", 0.9)], ["dog", "cat", "Dog"]), ("a zebra", [("zebra", 0.9)], ["cat"])], [])
    run.audit()
    stats = stats_of(run)["gold"]
    assert (stats["boxes"], stats["named"]) == (4, 2)


def test_where_captions_have_spans_an_image_without_true_boxes_shows_nothing(run_of: Any) -> None:
    """Nothing of the run is named by a category: every box of the second image is wrong, as with spans."""
    run = run_of([ZOO[1]], [])
    spanned = {"key": "000000000000", "spans": [{"start": 0, "end": 7}], "boxes": [{**BOX, "span": 0, "category": ""}]}
    run.rows["gold"].clear()
    run.write("gold", 0, [spanned])
    run.audit()
    lowest = stats_of(run)["gold"]["by_threshold"][0]
    assert (lowest["judged"], lowest["matched"], lowest["unjudged"]) == (2, 1, 0)
    more = run_of([ZOO[1], ZOO[1]], [], name="more")
    more.write("gold", 0, [spanned, {"key": "000000000001", "spans": [], "boxes": []}])
    more.audit()
    lowest = stats_of(more)["gold"]["by_threshold"][0]
    assert (lowest["judged"], lowest["matched"], lowest["unjudged"]) == (4, 1, 0)


BOX = {"x1": 10.0, "y1": 10.0, "x2": 60.0, "y2": 60.0}


@pytest.fixture
def run_of(tmp_path: Path) -> Any:
    """Makes a labelled run of (caption, boxes, true categories), as ingest, phrases, label and filter leave it."""

    def make(rows: list[Any], listed: list[str], name: str = "run") -> SyntheticRun:
        run = SyntheticRun(tmp_path / name)
        tables: dict[str, list[dict[str, Any]]] = {key: [] for key in ("pairs", "phrases", "labels", "pseudo", "gold")}
        for number, (caption, found, true) in enumerate(rows):
            key = {"key": f"{number:012d}"}
            phrases = [
                {"start": caption.index(norm), "end": caption.index(norm) + len(norm), "text": norm, "head": norm}
                for norm, _ in found
            ]
            boxes = [{"phrase": i, **BOX, "score": score} for i, (_, score) in enumerate(found)]
            size = {"width": 100, "height": 80}
            tables["pairs"].append({**key, "source_id": str(number), "caption": caption, **size})
            named = [{**phrase, "norm": phrase["text"]} for phrase in phrases]
            tables["phrases"].append({**key, "caption": caption, "phrases": named, "dropped": []})
            tables["labels"].append({**key, **size, "boxes": boxes, "dropped": []})
            tables["pseudo"].append({**key, **size, "boxes": [], "dropped": []})
            gold = [{**BOX, "span": -1, "category": category} for category in true]
            tables["gold"].append({**key, "spans": [], "boxes": gold})
        for dataset, own in tables.items():
            run.write(dataset, 0, own)
        run.write("rejects/ingest", 0, [])
        run.write("rejects/label", 0, [])
        if listed:
            files = run.part(0)
            write_categories(files, listed)
            files.publish()
        return run

    return make
