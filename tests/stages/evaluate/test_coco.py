"""The COCO benchmark from files: by hand, and against pycocotools run on the same file."""

from __future__ import annotations

import contextlib
import io as text_io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.glip import Glip
from model.grounding import GlipGrounder
from model.scheduler import Scheduler
from stages.evaluate.coco import evaluate_coco
from stages.stage import UserError

CUP = (10.0, 10.0, 50.0, 50.0)
DOG = (60.0, 10.0, 90.0, 80.0)
CROWD = (0.0, 0.0, 100.0, 80.0)


def coco(*annotations: tuple[int, tuple[float, ...], int, int]) -> dict[str, Any]:
    """(image, corners, category id, iscrowd); images 1, 2, 3; categories in no order."""
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "height": 80, "width": 100} for i in (1, 2, 3)],
        "categories": [{"id": 18, "name": "dog"}, {"id": 5, "name": "cup"}, {"id": 7, "name": "eel"}],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": category,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": crowd,
                "segmentation": {"counts": [0], "size": [80, 100]},
            }
            for number, (image, (x1, y1, x2, y2), category, crowd) in enumerate(annotations)
        ],
    }


@pytest.fixture
def measure(io: Any, scripted: Any, paint: Callable[..., str], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(dataset: dict[str, Any], script: dict[int, Any], count: int = 3, **options: Any) -> dict[str, Any]:
        (tmp_path / "instances.json").write_text(json.dumps(dataset))
        images = paint({f"{i}.png": i for i in (1, 2, 3)})
        glip = scripted(script, **options)
        return evaluate_coco(glip, io, str(tmp_path / "instances.json"), images, count, lambda done: None)

    return run


def test_names_go_by_rising_id_and_perfect_boxes_give_100(measure: Callable[..., dict[str, Any]]) -> None:
    """cup is 0, eel 1, dog 2: not the order of the file."""
    result = measure(coco((1, CUP, 5, 0), (2, DOG, 18, 0)), {1: [(CUP, 0.9, 0)], 2: [(DOG, 0.6, 2)]})
    assert (result["AP"], result["AP50"]) == (pytest.approx(100), pytest.approx(100))
    assert {name: row["gold"] for name, row in result["by_category"].items()} == {"cup": 1, "dog": 1}
    assert (result["pictures"], result["boxes"], result["failed"]) == (3, 2, {})


def test_a_image_without_boxes_counts(measure: Callable[..., dict[str, Any]]) -> None:
    """A better cup where there is none: precision 1/2 throughout."""
    script = {1: [(CUP, 0.6, 0)], 3: [(CUP, 0.9, 0)]}
    assert measure(coco((1, CUP, 5, 0)), script)["AP"] == pytest.approx(50)
    assert measure(coco((1, CUP, 5, 0)), script, count=2)["AP"] == pytest.approx(100)


def test_boxes_on_a_crowd_are_neither_right_nor_wrong(measure: Callable[..., dict[str, Any]]) -> None:
    script = {1: [(CUP, 0.6, 0)], 2: [(CUP, 0.9, 0), (DOG, 0.8, 0)]}
    result = measure(coco((1, CUP, 5, 0), (2, CROWD, 5, 1), (2, CROWD, 7, 1)), script)
    assert result["AP"] == pytest.approx(100)
    assert {name: row["gold"] for name, row in result["by_category"].items()} == {"cup": 1}


def test_100_boxes_of_a_image(measure: Callable[..., dict[str, Any]]) -> None:
    script = {1: [(DOG, 0.9, 2)] * 99 + [(CUP, 0.5, 0)]}
    assert measure(coco((1, CUP, 5, 0)), script)["AP"] == pytest.approx(100)
    script[1].append((DOG, 0.9, 1))
    assert measure(coco((1, CUP, 5, 0)), script)["AP"] == 0


def test_nothing_found_and_a_failed_image(measure: Callable[..., dict[str, Any]]) -> None:
    result = measure(coco((1, CUP, 5, 0)), {}, failures={1: "non_finite_scores"})
    assert (result["AP"], result["failed"]) == (0, {"non_finite_scores": 1})


def test_a_name_that_no_prompt_can_hold_is_counted(measure: Callable[..., dict[str, Any]]) -> None:
    dataset = coco((1, CUP, 5, 0))
    assert measure(dataset, {1: [(CUP, 0.9, 0)]})["not_asked"] == {}
    dataset["categories"][0]["name"] = "very " * 300 + "old dog"
    assert measure(dataset, {1: [(CUP, 0.9, 0)]})["not_asked"] == {"phrase_over_token_limit": 1}


def test_without_a_true_box_there_is_no_figure(measure: Callable[..., dict[str, Any]]) -> None:
    for dataset in (coco(), coco((1, CUP, 5, 1))):
        with pytest.raises(UserError, match=r"no true box in the 3 images that are measured, so there is no figure"):
            measure(dataset, {1: [(CUP, 0.9, 0)]})


def test_ids_of_any_kind_and_arrays_keyed_by_id(measure: Callable[..., dict[str, Any]]) -> None:
    plain = coco((1, CUP, 5, 0), (2, CUP, 18, 0))
    script = {1: [(CUP, 0.9, 0)], 2: [(CUP, 0.8, 2)]}
    mixed = json.loads(json.dumps(plain))
    for row in mixed["images"]:
        row["id"] = "first" if row["id"] == 1 else row["id"]
    for row in mixed["annotations"]:
        row["image_id"] = "first" if row["image_id"] == 1 else str(row["image_id"])
        row["category_id"] = "eighteen" if row["category_id"] == 18 else row["category_id"]
    for row in mixed["categories"]:
        row["id"] = "eighteen" if row["id"] == 18 else row["id"]
    mixed["annotations"] = {str(100 + i): row for i, row in enumerate(mixed["annotations"])}
    for dataset in (plain, mixed):
        assert measure(dataset, script)["AP"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bbox": [1, 2, 3]}, r"bbox is \[1, 2, 3\], which is not four numbers \(annotations\[0\], id 41\)"),
        ({"category_id": 77}, r"category_id is 77, and no category has this id \(annotations\[0\], id 41\)"),
        ({"image_id": [1]}, r"image_id is '\[1\]', which is no id \(annotations\[0\], id 41\)"),
    ],
)
def test_a_bad_annotation_is_named(measure: Callable[..., Any], change: dict[str, Any], words: str) -> None:
    dataset = coco((1, CUP, 5, 0))
    dataset["annotations"][0] |= {"id": 41, **change}
    with pytest.raises(UserError, match=rf"^evaluate\.data: .*instances\.json is no COCO instances file: {words}$"):
        measure(dataset, {})


def test_pycocotools_says_the_same_of_the_file(measure: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """Boxes near true ones and elsewhere, some true ones crowds, all three categories, scores far apart."""
    rng = random.Random(4)

    def some_box() -> tuple[float, float, float, float]:
        x, y = 70 * rng.random(), 50 * rng.random()
        return x, y, x + 5 + 25 * rng.random(), y + 5 + 25 * rng.random()

    def near(box: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(value + 3 * rng.random() - 1.5 for value in box)

    dataset = coco(*((1 + i % 3, some_box(), (18, 5, 7)[i % 3], int(i % 5 == 0)) for i in range(36)))
    del dataset["annotations"][0]  # whose id is 0, which pycocotools takes for "no match"
    corners = [
        (row["image_id"], (row["bbox"][0], row["bbox"][1], *(a + b for a, b in zip(row["bbox"], row["bbox"][2:]))))
        for row in dataset["annotations"]
    ]
    script: dict[int, list[Any]] = {
        image: [(near(box), rng.random(), rng.randrange(3)) for owner, box in corners * 3 if owner == image]
        + [(some_box(), rng.random(), rng.randrange(3)) for _ in range(10)]
        for image in (1, 2, 3)
    }
    result = measure(dataset, script)
    results = [
        {
            "image_id": image,
            "category_id": (5, 7, 18)[category],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
        }
        for image, rows in script.items()
        for (x1, y1, x2, y2), score, category in rows
    ]
    assert 5 < result["AP"] < 90
    assert [result[name] / 100 for name in ("AP", "AP50", "AP75")] == pytest.approx(
        official(tmp_path / "instances.json", results), abs=1e-6
    )


def official(path: Path, results: list[dict[str, Any]]) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(text_io.StringIO()):
        truth = COCO(str(path))
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats[:3]]


def test_a_real_model_on_real_photos(io: Any, shared: Path) -> None:
    """Plumbing only: the weights are fresh."""
    model = Scheduler(GlipGrounder(Glip.from_variant("glip-nano").eval(), (192, 320)))
    folder = shared / "coco-mini"
    result = evaluate_coco(model, io, str(folder / "instances.json"), str(folder / "images"), 2, lambda done: None)
    assert (result["pictures"], result["failed"]) == (2, {})
    assert 0 < result["boxes"] <= 200
    assert all(0 <= row["AP"] <= row["AP50"] <= 100 for row in result["by_category"].values())


def test_a_missing_image_is_named(io: Any, scripted: Any, tmp_path: Path) -> None:
    (tmp_path / "instances.json").write_text(json.dumps(coco((1, CUP, 5, 0))))
    with pytest.raises(UserError, match=r"1\.png: missing_image"):
        evaluate_coco(scripted({}), io, str(tmp_path / "instances.json"), str(tmp_path), 3, lambda done: None)


@pytest.mark.parametrize(("image", "box"), [(str, int), (int, str), (int, float), (str, "{:012d}".format)])
def test_ids_are_compared_as_numbers(measure: Callable[..., dict[str, Any]], image: Any, box: Any) -> None:
    dataset = coco((1, CUP, 5, 0), (2, DOG, 18, 0))
    for row in dataset["images"]:
        row["id"] = image(row["id"])
    for annotation in dataset["annotations"]:
        annotation["image_id"], annotation["category_id"] = box(annotation["image_id"]), box(annotation["category_id"])
    assert measure(dataset, {1: [(CUP, 0.9, 0)], 2: [(DOG, 0.6, 2)]})["AP"] == pytest.approx(100)


def test_annotations_of_no_image_are_an_error(measure: Callable[..., dict[str, Any]]) -> None:
    dataset = coco((1, CUP, 5, 0), (2, DOG, 18, 0))
    for annotation in dataset["annotations"]:
        annotation["image_id"] = f"image-{annotation['image_id']}"
    with pytest.raises(UserError, match=r"none of its 2 annotations is of one of its 3 images \(image_id 'image-1'"):
        measure(dataset, {})


def test_file_names_of_windows(io: Any, scripted: Any, paint: Callable[..., str], tmp_path: Path) -> None:
    dataset = coco((1, CUP, 5, 0))
    for row in dataset["images"]:
        row["file_name"] = f"val\\{row['file_name']}"
    (tmp_path / "instances.json").write_text(json.dumps(dataset))
    images = paint({f"val/{i}.png": i for i in (1, 2, 3)})
    glip = scripted({1: [(CUP, 0.9, 0)]})
    assert evaluate_coco(glip, io, str(tmp_path / "instances.json"), images, 3, lambda done: None)[
        "AP"
    ] == pytest.approx(100)


# -- masks -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def measure_masks(
    io: Any, scripted: Any, cutter: Any, paint: Callable[..., str], tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    def run(dataset: dict[str, Any], script: dict[int, Any]) -> dict[str, Any]:
        (tmp_path / "instances.json").write_text(json.dumps(dataset))
        images = paint({f"{i}.png": i for i in (1, 2, 3)})
        path = str(tmp_path / "instances.json")
        return evaluate_coco(scripted(script), io, path, images, 3, lambda done: None, segmenter=cutter())

    return run


def with_masks(dataset: dict[str, Any], *boxes: tuple[float, ...]) -> dict[str, Any]:
    """Annotations with these rectangles as polygons."""
    for annotation, (x1, y1, x2, y2) in zip(dataset["annotations"], boxes, strict=True):
        annotation["segmentation"] = [[x1, y1, x2, y1, x2, y2, x1, y2]]
    return dataset


def test_mask_ap_stands_beside_box_ap(measure_masks: Callable[..., dict[str, Any]]) -> None:
    """The cup's mask is the left half of its box: a mask of the whole box has an IoU of 1/2, one threshold of ten."""
    half = (10.0, 10.0, 30.0, 50.0)
    dataset = with_masks(coco((1, CUP, 5, 0), (2, DOG, 18, 0)), half, DOG)
    result = measure_masks(dataset, {1: [(CUP, 0.9, 0)], 2: [(DOG, 0.6, 2)]})
    assert result["AP"] == pytest.approx(100)
    assert result["masks"] == {
        "AP": pytest.approx((10 + 100) / 2),
        "AP50": pytest.approx(100),
        "AP75": pytest.approx(50),
    }


def test_mask_ap_is_that_of_pycocotools(measure_masks: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """On boxes and masks drawn at random, with a crowd, run on the file itself."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    draw = random.Random(5)

    def box() -> tuple[float, ...]:
        x1, y1 = draw.randrange(0, 60), draw.randrange(0, 40)
        return x1, y1, x1 + draw.randrange(8, 40), y1 + draw.randrange(8, 40)

    gold = [(draw.choice((1, 2, 3)), box(), draw.choice((18, 5, 7)), int(i == 4)) for i in range(12)]
    dataset = with_masks(coco(*gold), *(shifted(corners, draw) for _, corners, _, _ in gold))
    for annotation in dataset["annotations"]:
        annotation["id"] += 1
    categories = [5, 7, 18]
    script: dict[int, Any] = {1: [], 2: [], 3: []}
    for image, corners, category, _ in gold:
        script[image].append((shifted(corners, draw), draw.random(), categories.index(category)))
    result = measure_masks(dataset, script)
    results = [
        {"image_id": image, "category_id": categories[category], "score": score, "segmentation": rectangle(*corners)}
        for image, own in script.items()
        for corners, score, category in own
    ]
    with contextlib.redirect_stdout(text_io.StringIO()):
        truth = COCO(str(tmp_path / "instances.json"))
        evaluation = COCOeval(truth, truth.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert 0 < result["masks"]["AP"] < 100
    assert [result["masks"][name] for name in ("AP", "AP50", "AP75")] == pytest.approx(100 * evaluation.stats[:3])


def shifted(corners: Any, draw: random.Random) -> tuple[float, ...]:
    x1, y1, x2, y2 = corners
    return x1 + draw.randrange(0, 4), y1 + draw.randrange(0, 4), float(x2), float(y2)


def rectangle(x1: float, y1: float, x2: float, y2: float) -> Any:
    import numpy as np
    from pycocotools import mask

    pixels = np.zeros((80, 100), np.uint8, order="F")
    pixels[int(y1) : int(y2), int(x1) : int(x2)] = 1
    return mask.encode(pixels)


def test_masks_that_cannot_be_placed_are_one_line(measure_masks: Callable[..., dict[str, Any]]) -> None:
    dataset = with_masks(coco((1, CUP, 5, 0)), CUP)
    del dataset["annotations"][0]["segmentation"]
    with pytest.raises(UserError, match=r"no COCO instances file: it has no 'segmentation' where one belongs \(ann"):
        measure_masks(dataset, {})
    dataset = with_masks(coco((1, CUP, 5, 0)), CUP)
    dataset["images"][0]["height"] = 0
    with pytest.raises(UserError, match=r"1\.png has no width and height"):
        measure_masks(dataset, {})
