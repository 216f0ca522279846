"""benchmarks/filter_rules.py counts what the filter keeps, and how much of it is right."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.filter_rules import RULES, measure, said
from schemas.records import LABELS, PAIRS, PHRASES
from schemas.rows import GoldBox
from stages.synthetic import NOUNS, Scene, draw_scene

SCENES = 40
WHERE = (0.0, 0.0, 5.0, 5.0)
SCOOTER = "kick scooter"


def phrase_of(caption: str, span: tuple[int, int]) -> dict[str, object]:
    return {"start": span[0], "end": span[1], "text": caption[slice(*span)], "head": "", "norm": ""}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """True labels at 0.9; and for each thing that is mentioned but not there, the box of another at 0.55."""
    folder = tmp_path_factory.mktemp("run")
    pairs, phrases, labels = [], [], []
    for index in range(SCENES):
        scene, key = draw_scene("web", 0, index), f"{index:012d}"
        boxes = [{"phrase": b.span, "x1": b.x1, "y1": b.y1, "x2": b.x2, "y2": b.y2, "score": 0.9} for b in scene.boxes]
        absent = set(range(len(scene.spans))) - {box.span for box in scene.boxes}
        boxes += [{**boxes[0], "phrase": span, "score": 0.55} for span in sorted(absent) if boxes]
        own = [phrase_of(scene.caption, span) for span in scene.spans]
        pairs.append({"key": key, "source_id": f"scenes/web/0/{index}", "caption": scene.caption})
        phrases.append({"key": key, "caption": scene.caption, "phrases": own, "dropped": []})
        labels.append({"key": key, "width": scene.width, "height": scene.height, "boxes": boxes, "dropped": []})
    for name, rows, schema in (("pairs", pairs, PAIRS), ("phrases", phrases, PHRASES), ("labels", labels, LABELS)):
        (folder / name).mkdir()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / name / "part-0000000.parquet")
    return folder


def test_what_is_right_is_counted_by_tier_and_rule(run: Path) -> None:
    tier = {noun.name: noun.tier for noun in NOUNS}
    scenes = [draw_scene("web", 0, index) for index in range(SCENES)]
    gold = [tier[scene.span_nouns[box.span]] for scene in scenes for box in scene.boxes]
    absent = [
        tier[noun]
        for scene in scenes
        for span, noun in enumerate(scene.span_nouns)
        if scene.boxes and span not in {box.span for box in scene.boxes}
    ]
    rows = {(row["rules"]["min_score"], row["rules"]["phrase_nms_iou"]): row for row in measure(run)[0]}
    assert list(rows) == [tuple(rules.values()) for rules in RULES] and next(iter(rows)) == (0.5, 1.0)
    assert len(absent) >= 5
    for (score, limit), row in rows.items():
        for name in ("common", "rare", "unseen"):
            wrong = absent.count(name) if score < 0.55 and limit == 1.0 else 0
            assert row[name]["gold"] == row[name]["right"] == gold.count(name)
            assert row[name]["boxes"] == gold.count(name) + wrong, (score, limit, name)
            assert row[name]["recall"] == 1.0


def test_labels_are_counted_noun_by_noun(run: Path) -> None:
    scenes = [draw_scene("web", 0, index) for index in range(SCENES)]
    objects = Counter(name for scene in scenes for name, _ in scene.objects)
    labelled = Counter(scene.span_nouns[box.span] for scene in scenes for box in scene.boxes)
    nouns = measure(run)[2]
    assert objects["car"] > labelled["car"] > 0
    for name, counts in nouns.items():  # the box of what is not there gave way to another's
        assert counts == {"objects": objects[name], "boxes": labelled[name], "right": labelled[name]}


def test_objects_that_captions_mention_are_counted(run: Path) -> None:
    """By hand: two are mentioned by a name that ends like theirs, one by another name, one not at all."""
    captions = measure(run)[1]
    assert list(captions) == ["common", "rare", "unseen"]
    for own in captions.values():
        assert own["objects"] >= own["mentioned"] >= own["by_name"] > 0
    scene = Scene(
        **{"jpeg": b"", "width": 9, "height": 9, "caption": "two red Scooters, my bullhorn, and two fire engines"},
        **{"spans": [(0, 16), (18, 29), (35, 51)], "span_nouns": [SCOOTER, "megaphone", "fire engine"]},
        boxes=[GoldBox(span, *WHERE, name) for span, name in ((0, SCOOTER), (0, SCOOTER), (1, "megaphone"))],
        objects=[(name, WHERE) for name in (SCOOTER, SCOOTER, "megaphone", "banana")],
    )
    counts = {tier: Counter[str]() for tier in captions}
    said(scene, counts)
    assert counts == {
        "common": {"objects": 1},
        "rare": {"objects": 2, "mentioned": 2, "by_name": 2},
        "unseen": {"objects": 1, "mentioned": 1, "by_name": 0},
    }


def test_a_run_without_labels_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no labels here"):
        measure(tmp_path)
