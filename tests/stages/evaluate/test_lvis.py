"""LVIS fixed AP: by hand, and against the figures of LVIS's own tool."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lvis_case
import numpy as np
import pytest

from model.glip import Glip
from model.grounding import GlipGrounder
from model.prompt import category_prompts
from model.scheduler import Scheduler
from stages.evaluate.coco_ap import Detections
from stages.evaluate.lvis import evaluate_lvis, prompt_of_each
from stages.evaluate.lvis_ap import Pool, Truth, precision_at_recalls
from stages.stage import UserError

HERE = (10.0, 10.0, 50.0, 50.0)
THERE = (60.0, 10.0, 90.0, 40.0)
RECORDED = json.loads(lvis_case.RECORDED.read_text())


def pool_of(*rows: tuple[int, tuple[float, ...], float], most: int = 10_000) -> Pool:
    """Boxes of category 0: (image, corners, score)."""
    pool = Pool(most)
    for image, box, score in rows:
        pool.add(image, detections((box, score, 0)))
    return pool


def detections(*rows: tuple[tuple[float, ...], float, int]) -> Detections:
    return Detections(
        np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([category for _, _, category in rows], np.int64),
    )


def ap(pool: Pool, truth: Truth) -> float:
    precision = precision_at_recalls(pool.best(0), truth)
    assert precision is not None
    return float(precision.mean())


def test_only_images_that_were_looked_at_count() -> None:
    """A miss at 0.9 above a hit at 0.8: precision 1/2 throughout, but only if the category is known to be absent."""
    pool = pool_of((2, HERE, 0.99), (1, HERE, 0.9), (0, HERE, 0.8))
    assert ap(pool, Truth({0: [HERE]})) == pytest.approx(1)
    assert ap(pool, Truth({0: [HERE]}, absent={1})) == pytest.approx(0.5)
    assert ap(pool, Truth({0: [HERE]}, absent={1, 2})) == pytest.approx(1 / 3)
    assert precision_at_recalls(pool.best(0), Truth(absent={1})) is None


def test_where_boxes_are_missing_an_unmatched_box_is_no_mistake() -> None:
    pool = pool_of((0, THERE, 0.95), (0, HERE, 0.5))
    assert ap(pool, Truth({0: [HERE]})) == pytest.approx(0.5)
    assert ap(pool, Truth({0: [HERE]}, partial={0})) == pytest.approx(1)


def test_the_pool_is_filled_by_score_wherever_the_boxes_lie() -> None:
    """Boxes in images that are not judged take room too: the rule is set before anything is known of the truth."""
    rows = [(2, HERE, 0.99), (3, HERE, 0.98), (0, HERE, 0.5)]
    assert ap(pool_of(*rows, most=3), Truth({0: [HERE]})) == pytest.approx(1)
    assert ap(pool_of(*rows, most=2), Truth({0: [HERE]})) == 0


def test_a_true_box_is_taken_once_and_iou_thresholds_count_one_by_one() -> None:
    """IoU 0.75 with two of two things passes 6 of 10 thresholds; a second box on the same thing is a mistake."""
    truth = Truth({0: [HERE, THERE]})
    three_quarters = [(0, (10.0, 10.0, 50.0, 40.0), 0.9), (0, (60.0, 10.0, 90.0, 32.5), 0.8)]
    assert ap(pool_of(*three_quarters), truth) == pytest.approx(0.6)
    twice = pool_of((0, HERE, 0.9), (0, HERE, 0.8), (0, THERE, 0.7))
    assert ap(twice, truth) == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)


def test_a_pool_that_is_settled_often_keeps_what_a_full_sort_keeps() -> None:
    rng = np.random.default_rng(3)
    pool, everything = Pool(most=20, pending=50), []
    for image in range(30):
        scores = np.sort(rng.integers(0, 40, 15))[::-1] / 40  # many are equal
        category = rng.integers(0, 3, 15)
        boxes = rng.random((15, 4))
        pool.add(image, Detections(boxes.astype(np.float32), scores.astype(np.float32), category))
        everything += [(s, image, c, b[0]) for s, c, b in zip(scores, category, boxes, strict=True)]
    for category in range(3):
        wanted = sorted((row for row in everything if row[2] == category), key=lambda row: -row[0])[:20]
        best = pool.best(category)
        assert best["picture"].tolist() == [row[1] for row in wanted]
        np.testing.assert_allclose(best["box"][:, 0], [row[3] for row in wanted], rtol=1e-6)
    assert len(pool.best(3)) == 0


@pytest.mark.parametrize("most", lvis_case.POOLS)
def test_the_tool_says_the_same_of_every_category(most: int) -> None:
    dataset, found = lvis_case.draw()
    pool = Pool(most, pending=100)
    for image, rows in enumerate(found):
        pool.add(image, detections(*rows))
    for category, wanted in enumerate(RECORDED[str(most)]["by_category"]):
        precision = precision_at_recalls(pool.best(category), truth_of(dataset, category + 1))
        assert (-1.0 if precision is None else float(precision.mean())) == pytest.approx(wanted, abs=1e-12)


def truth_of(dataset: dict[str, Any], category: int) -> Truth:
    truth = Truth()
    for number, image in enumerate(dataset["images"]):
        if category in image["neg_category_ids"]:
            truth.absent.add(number)
        if category in image["not_exhaustive_category_ids"]:
            truth.partial.add(number)
        for annotation in dataset["annotations"]:
            if annotation["image_id"] == image["id"] and annotation["category_id"] == category:
                x, y, width, height = annotation["bbox"]
                truth.boxes.setdefault(number, []).append((x, y, x + width, y + height))
    return truth


def test_the_benchmark_from_files_gives_the_tools_figures(
    io: Any, scripted: Any, paint: Callable[..., str], tmp_path: Path
) -> None:
    dataset, found = lvis_case.draw()
    (tmp_path / "lvis.json").write_text(json.dumps(dataset))
    levels = {f"val2017/{number:012}.jpg": number for number in range(lvis_case.IMAGES)}
    images = paint(levels, (lvis_case.WIDTH, lvis_case.HEIGHT))
    glip, steps = scripted(dict(enumerate(found))), []
    result = evaluate_lvis(glip, io, str(tmp_path / "lvis.json"), images, 1000, steps.append, per_prompt=4)
    tool = RECORDED["10000"]
    assert {name: result[name] / 100 for name in ("AP", "AP50", "AP75", "APr", "APc", "APf")} == pytest.approx(
        {name: value for name, value in tool.items() if name != "by_category"}
    )
    assert result["categories"] == {"AP": 8, "APr": 3, "APc": 3, "APf": 2}
    assert "thing_8_(of_some_kind)" not in result["by_category"]  # it has no box
    assert result["by_category"]["thing_1_(of_some_kind)"]["frequency"] == "c"
    assert steps == [16, 24]
    assert [call["images"] for call in glip.calls] == [16, 8]  # images in chunks
    assert glip.calls[0]["per_prompt"] == 4
    assert glip.calls[0]["categories"][0] == "thing_0_(of_some_kind)"  # `detect` takes the bracket out
    json.dumps(result)


def one_image(**image: Any) -> dict[str, Any]:
    row = {"id": 1, "height": 80, "width": 100, "neg_category_ids": [], "not_exhaustive_category_ids": []}
    return {
        "images": [{**row, "file_name": "a.png", **image}],
        "categories": [{"id": c, "name": f"n{c}", "frequency": "f"} for c in (9, 2)],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 9, "bbox": [10, 10, 40, 40]}],
    }


def test_300_boxes_of_a_prompt_not_of_a_image(
    io: Any, scripted: Any, paint: Callable[..., str], tmp_path: Path
) -> None:
    """300 better boxes of n2 hide the box of n9 if both are asked for in one prompt. Categories go by id: n2, n9."""
    (tmp_path / "lvis.json").write_text(json.dumps(one_image()))
    glip = scripted({7: [(THERE, 0.9, 0)] * 300 + [(HERE, 0.5, 1)]})
    found = {
        per_prompt: evaluate_lvis(
            glip, io, str(tmp_path / "lvis.json"), paint({"a.png": 7}), 1, lambda done: None, per_prompt
        )
        for per_prompt in (1, 2)
    }
    assert {per_prompt: (one["AP"], one["boxes"]) for per_prompt, one in found.items()} == {
        1: (pytest.approx(100), 301),
        2: (0, 300),
    }
    assert prompt_of_each(category_prompts(["cat", "dog", "(nothing)", "eel"], 2), 4).tolist() == [0, 0, 0, 1]


def test_a_failed_image_is_counted_and_finds_nothing(
    io: Any, scripted: Any, paint: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "lvis.json").write_text(json.dumps(one_image()))
    glip = scripted({}, failures={7: "out_of_memory"})
    result = evaluate_lvis(glip, io, str(tmp_path / "lvis.json"), paint({"a.png": 7}), 5, lambda done: None)
    assert (result["AP"], result["APr"], result["failed"]) == (0, None, {"out_of_memory": 1})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"file_name": "b.png"}, "b.png: missing_image"),
        ({"file_name": "../a.png"}, "image_read_refused"),
        ({"height": 160, "width": 200}, "a.png is 100 x 80, its annotations are for 200 x 160 pixels"),
        ({"neg_category_ids": [5]}, "no LVIS annotation file"),
        ({"neg_category_ids": None}, "no LVIS annotation file"),
    ],
)
def test_what_does_not_fit_is_named(
    io: Any, scripted: Any, paint: Callable[..., str], tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    (tmp_path / "lvis.json").write_text(json.dumps(one_image(**change)))
    with pytest.raises(UserError, match=words):
        evaluate_lvis(scripted({}), io, str(tmp_path / "lvis.json"), paint({"a.png": 7}), 5, lambda done: None)


@pytest.mark.parametrize("text", ["", "[]", '{"images": []}', "[" * 100_000, "\xff"])
def test_a_file_that_is_no_annotation_file(io: Any, scripted: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / "lvis.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"evaluate\.data: .*lvis\.json"):
        evaluate_lvis(scripted({}), io, str(tmp_path / "lvis.json"), ".", 5, lambda done: None)
    with pytest.raises(UserError, match="no such file"):
        evaluate_lvis(scripted({}), io, str(tmp_path / "other.json"), ".", 5, lambda done: None)


def test_a_real_model_goes_through(io: Any, paint: Callable[..., str], tmp_path: Path) -> None:
    dataset, _ = lvis_case.draw()
    (tmp_path / "lvis.json").write_text(json.dumps(dataset))
    images = paint({f"{number:012}.jpg": 40 * number for number in range(2)})  # in one flat folder
    model = Scheduler(GlipGrounder(Glip.from_variant("glip-nano").eval(), (192, 320)))
    result = evaluate_lvis(model, io, str(tmp_path / "lvis.json"), images, 2, lambda done: None)
    assert result["pictures"] == 2
    assert result["boxes"] > 0
    assert 0 <= result["AP"] <= 100
    assert result["failed"] == {}
