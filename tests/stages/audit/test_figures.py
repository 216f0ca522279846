"""Every figure of stats.json, counted again in plain Python from the rows of the parts."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from stages.audit.stage import AuditStage
from stages.audit.terms import hash_texts
from stages.evaluate.labels import evaluate_labels
from stages.stage import UserError

np = pytest.importorskip("numpy")


def stats_of(run: Any) -> dict[str, Any]:
    stats: dict[str, Any] = json.loads((run.root / "report" / "stats.json").read_text())
    return stats


@pytest.fixture
def run(shapes: Any) -> Any:
    run = shapes(part_size=40).fill(130)
    run.audit()
    return run


def norms(run: Any) -> dict[str, list[str]]:
    return {row["key"]: [phrase["norm"] for phrase in row["phrases"]] for row in run.rows["phrases"]}


def box_iou(a: dict[str, float], b: dict[str, float]) -> float:
    width = max(min(a["x2"], b["x2"]) - max(a["x1"], b["x1"]), 0)
    height = max(min(a["y2"], b["y2"]) - max(a["y1"], b["y1"]), 0)
    both = width * height
    area = sum((box["x2"] - box["x1"]) * (box["y2"] - box["y1"]) for box in (a, b))
    return both / (area - both) if area > both else 0.0


def stored(run: Any, dataset: str) -> list[dict[str, Any]]:
    """The rows as a reader of the parts sees them (float32 boxes)."""
    files = run.all_parts()
    return [row for part in files.parts() for row in files.read_part(dataset, part).to_pylist()]


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
    table = page.partition("## report/stats.json")[2].partition("\n\nHistograms:")[0]
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", table, re.MULTILINE)
    keys = {*stats_of(run), "side_tables"}  # which this run has none of
    assert {name for first, _ in rows for name in re.findall(r"`(\w+)`", first)} == keys
    described = dict(rows)
    for name in ("phrases_tables", "box_shapes", "duplicates"):
        listed = set(re.findall(r"`(\w+)`", described[f"`{name}`"]))
        assert set(stats_of(run)[name]) <= listed, name
    histograms = page.partition("\n\nHistograms:")[2].partition("\n\n`report/phrases.parquet`")[0]
    assert set(re.findall(r"`(\w+)`", histograms)) == set(stats_of(run)["histograms"])


def test_thresholds_are_counted_on_labels(run: Any) -> None:
    stats, labels, text = stats_of(run), stored(run, "labels"), norms(run)
    assert [row["threshold"] for row in stats["by_threshold"]] == [i / 100 for i in range(10, 101)]
    for row in stats["by_threshold"]:
        above = [(r["key"], b) for r in labels for b in r["boxes"] if b["score"] > row["threshold"]]
        assert row["boxes"] == len(above)
        assert row["pairs"] == len({key for key, _ in above})
        assert row["unique_phrases"] == len({text[key][box["phrase"]] for key, box in above})


def test_histograms_and_shapes(run: Any) -> None:
    stats, kept = stats_of(run), stored(run, "pseudo")
    histograms, shapes = stats["histograms"], stats["box_shapes"]
    per_image = Counter(len(row["boxes"]) for row in kept)
    assert histograms["boxes_per_image"] == [per_image[i] for i in range(101)]
    per_pair = Counter(len(row["phrases"]) for row in run.rows["phrases"])
    assert histograms["phrases_per_pair"] == [per_pair[i] for i in range(51)]
    asked = asked_phrases(run)
    owned = Counter((row["key"], box["phrase"]) for row in kept for box in row["boxes"])
    per_phrase = Counter(owned[phrase] for phrase in asked)
    assert histograms["boxes_per_phrase"] == [per_phrase[i] for i in range(101)]
    boxes = [(row["width"], row["height"], box) for row in kept for box in row["boxes"]]
    scores = Counter(min(max(math.ceil(round(box["score"] * 100, 9)) - 1, 0), 99) for *_, box in boxes)
    assert histograms["score_kept"] == [scores[i] for i in range(100)]
    sides: Counter[int] = Counter()
    heat, whole, near = [[0] * 24 for _ in range(24)], 0, 0
    for width, height, box in boxes:
        share = (box["x2"] - box["x1"]) * (box["y2"] - box["y1"]) / (width * height)
        sides[max(i for i in range(20) if (i / 20) * (i / 20) <= share or i == 0)] += 1
        whole += share >= 0.95
        heat[min(int((box["y1"] + box["y2"]) / 2 / height * 24), 23)][
            min(int((box["x1"] + box["x2"]) / 2 / width * 24), 23)
        ] += 1
    for row in kept:
        near += sum(
            any(other["phrase"] != box["phrase"] and box_iou(box, other) >= 0.9 for other in row["boxes"])
            for box in row["boxes"]
        )
    assert histograms["side_share"] == [sides[i] for i in range(20)]
    assert histograms["heat"] == heat
    assert (shapes["whole_image"], shapes["near_duplicates"]) == (whole, near)
    pixels = [(box["x2"] - box["x1"]) * (box["y2"] - box["y1"]) for *_, box in boxes]
    small, large = sum(p < 32**2 for p in pixels), sum(p >= 96**2 for p in pixels)
    assert (shapes["small"], shapes["medium"], shapes["large"]) == (small, len(pixels) - small - large, large)
    ratios = Counter(
        min(max(math.floor(math.log2((b["x2"] - b["x1"]) / (b["y2"] - b["y1"])) * 2) + 8, 0), 15) for *_, b in boxes
    )
    assert histograms["aspect"] == [ratios[i] for i in range(16)]


def asked_phrases(run: Any) -> list[tuple[str, int]]:
    """(key, number) of every phrase that the teacher was asked for."""
    dropped = {(row["key"], entry["phrase"]) for row in run.rows["labels"] for entry in row["dropped"]}
    asked = [(row["key"], i) for row in run.rows["phrases"] for i in range(len(row["phrases"]))]
    return [phrase for phrase in asked if phrase not in dropped]


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


@pytest.mark.parametrize("content", ["[]", "{}", '{"categories": []}', '{"categories": [{"id": 1}]}', "no json"])
def test_a_file_without_categories_is_the_users_mistake(shapes: Any, tmp_path: Any, content: str) -> None:
    file = tmp_path / "odd.json"
    file.write_text(content)
    run = shapes(audit={"categories": str(file)}).fill(3)
    with pytest.raises(UserError, match=r"audit\.categories: .*odd\.json"):
        run.audit()
    with pytest.raises(UserError, match="no such file"):
        AuditStage.resolve(shapes(audit={"categories": str(tmp_path / "none.json")}).config)


def test_repeats(shapes: Any) -> None:
    run = shapes(part_size=40).fill(80, until="pairs", gold=False)
    part = run.rows["pairs"][:10]
    twice = [{**row, "key": f"0000002{i:05d}"} for i, row in enumerate(part)]
    run.write("pairs", 2, twice)
    run.audit()
    repeats = stats_of(run)["duplicates"]
    rows = run.rows["pairs"]
    captions, with_image = {row["caption"] for row in rows}, [row for row in rows if row["image"]]
    both = {(row["caption"], row["sha256"]) for row in with_image}
    assert repeats["captions"]["repeats"] == len(rows) - len(captions)
    assert repeats["images"]["repeats"] == len(with_image) - len({row["sha256"] for row in with_image}) > 0
    assert repeats["image_captions"]["repeats"] == len(with_image) - len(both) == len([r for r in part if r["image"]])


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
    run = shapes(part_size=40).fill(40, gold=False)
    gold = []
    for row in run.rows["labels"]:
        best = max(row["boxes"], key=lambda box: box["score"], default=None)
        phrases = next(r["phrases"] for r in run.rows["phrases"] if r["key"] == row["key"])
        boxes = [{**best, "span": -1, "category": phrases[best["phrase"]]["head"].upper()}] if best else []
        gold.append({"key": row["key"], "spans": [], "boxes": boxes})
    run.write("gold", 0, gold)
    run.audit()
    stats = stats_of(run)["gold"]
    named = 0
    for row, truth in zip(run.rows["labels"], gold):
        phrases = next(r["phrases"] for r in run.rows["phrases"] if r["key"] == row["key"])
        names = {box["category"].lower() for box in truth["boxes"]}
        named += sum(phrases[box["phrase"]]["head"] in names for box in row["boxes"])
    assert stats["boxes"] == sum(bool(row["boxes"]) for row in gold)
    assert stats["by_threshold"][0]["judged"] == named
    assert stats["by_threshold"][0]["recall"] == 1.0


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


def test_nothing_at_all(shapes: Any) -> None:
    run = shapes()
    run.write("pairs", 0, [])
    assert run.audit()["pairs"] == 0


def test_a_filter_that_keeps_nothing(shapes: Any) -> None:
    run = shapes(filter={"min_score": 1.0}).fill(30)
    assert run.audit()["boxes"] == 0
    stats = stats_of(run)
    assert stats["unique_phrases"] == 0 and stats["pairs_with_any_box"] > 0
    assert [warning["code"] for warning in stats["warnings"]] == ["no_boxes"]
    empty = shapes().fill(30)
    empty.write("labels", 0, [{**row, "boxes": []} for row in run.rows["labels"]])
    empty.write("pseudo", 0, [{**row, "boxes": [], "dropped": []} for row in run.rows["pseudo"]])
    assert empty.audit()["boxes"] == 0
    assert stats_of(empty)["by_threshold"][0] == {"threshold": 0.1, "pairs": 0, "boxes": 0, "unique_phrases": 0}


def test_a_box_of_a_phrase_that_is_not_there_fails_the_part(shapes: Any) -> None:
    run = shapes().fill(5)
    bad = [{**run.rows["labels"][0], "boxes": [{"phrase": 99, "x1": 0, "y1": 0, "x2": 9, "y2": 9, "score": 0.7}]}]
    run.write("labels", 0, bad)
    with pytest.raises(ValueError, match=r"labels, key 000000000001: phrase 99 of a caption with \d"):
        run.audit()


def test_summaries_and_report_are_the_same_bytes_every_time(shapes: Any) -> None:
    written = []
    for _ in range(2):
        run = shapes(part_size=40).fill(60)
        run.audit()
        files = sorted([*(run.root / "summaries").rglob("*.*"), *(run.root / "report").iterdir()])
        written.append({path.relative_to(run.root).as_posix(): path.read_bytes() for path in files})
    assert written[0] == written[1]
