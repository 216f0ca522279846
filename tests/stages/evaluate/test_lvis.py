"""The LVIS benchmark from files to figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.glip import Glip
from model.grounding import GlipGrounder
from model.prompt import category_prompts
from model.scheduler import Scheduler
from stages.evaluate.lvis import evaluate_lvis, prompt_of_each
from stages.stage import UserError
from tests.stages.evaluate import lvis_case
from tests.stages.evaluate.lvis_case import HERE, THERE


def test_the_benchmark_from_files_gives_the_tools_figures(
    io: Any, scripted: Any, paint: Callable[..., str], tmp_path: Path
) -> None:
    dataset, found = lvis_case.draw()
    (tmp_path / "lvis.json").write_text(json.dumps(dataset))
    levels = {f"val2017/{number:012}.jpg": number for number in range(lvis_case.IMAGES)}
    images = paint(levels, (lvis_case.WIDTH, lvis_case.HEIGHT))
    glip, steps = scripted(dict(enumerate(found))), []
    result = evaluate_lvis(glip, io, str(tmp_path / "lvis.json"), images, 1000, steps.append, per_prompt=4)
    tool = json.loads(lvis_case.RECORDED.read_text())["10000"]
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
    assert result["not_asked"] == {}


def test_a_name_that_no_prompt_can_hold_is_counted(
    io: Any, scripted: Any, paint: Callable[..., str], tmp_path: Path
) -> None:
    dataset = one_image()
    dataset["categories"][0]["name"] = "very " * 300 + "old cat"
    (tmp_path / "lvis.json").write_text(json.dumps(dataset))
    result = evaluate_lvis(scripted({}), io, str(tmp_path / "lvis.json"), paint({"a.png": 7}), 5, lambda done: None)
    assert result["not_asked"] == {"phrase_over_token_limit": 1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"file_name": "b.png"}, "b.png: missing_image"),
        ({"file_name": "../a.png"}, "image_read_refused"),
        ({"height": 160, "width": 200}, "a.png is 100 x 80, its annotations are for 200 x 160 pixels"),
        ({"neg_category_ids": None}, "no LVIS annotation file"),
    ],
)
def test_what_does_not_fit_is_named(
    io: Any, scripted: Any, paint: Callable[..., str], tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    (tmp_path / "lvis.json").write_text(json.dumps(one_image(**change)))
    with pytest.raises(UserError, match=words):
        evaluate_lvis(scripted({}), io, str(tmp_path / "lvis.json"), paint({"a.png": 7}), 5, lambda done: None)


def test_lists_that_name_a_dropped_category_are_counted(
    io: Any, scripted: Any, paint: Callable[..., str], tmp_path: Path
) -> None:
    """As in subsets of LVIS: the categories were dropped, and the images' lists were not."""
    plain, subset = one_image(), one_image(neg_category_ids=[5, 1204], not_exhaustive_category_ids=[77])
    found = []
    for dataset in (plain, subset):
        (tmp_path / "lvis.json").write_text(json.dumps(dataset))
        found.append(evaluate_lvis(scripted({}), io, str(tmp_path / "lvis.json"), paint({"a.png": 7}), 5, print))
    assert [result.pop("unknown_categories") for result in found] == [0, 3]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"category_id": 77}, r"category_id is 77, and no category has this id \(annotations\[0\]"),
        ({"bbox": []}, r"bbox is \[\], which is not four numbers \(annotations\[0\]"),
    ],
)
def test_a_bad_annotation_is_named(io: Any, scripted: Any, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    dataset = one_image()
    dataset["annotations"][0] |= change
    (tmp_path / "lvis.json").write_text(json.dumps(dataset))
    with pytest.raises(UserError, match=words):
        evaluate_lvis(scripted({}), io, str(tmp_path / "lvis.json"), str(tmp_path), 5, lambda done: None)


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
