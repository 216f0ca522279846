"""Label Studio tasks are read back, held to its rules, and checked by its own SDK where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.stages.export.exported import Exported, captions, check_images, same, truth
from tests.stages.export.label_studio_rules import problems


def test_label_studio(exported: Callable[..., Exported], run: Any) -> None:
    export = exported("label-studio")
    found = []
    tasks = export.json("tasks.json")
    for task in tasks:
        key = task["data"]["key"]
        (prediction,) = task["predictions"]
        offered = {label["value"] for label in task["data"]["phrases"]}
        for result in prediction["result"]:
            value = result["value"]
            (text,) = value["rectanglelabels"]
            assert text in offered
            start = task["data"]["caption"].index(text)
            w, h = result["original_width"] / 100, result["original_height"] / 100
            x, y = value["x"] * w, value["y"] * h
            corners = (x, y, x + value["width"] * w, y + value["height"] * h)
            found.append((key, start, start + len(text), *corners, result["score"]))
    expected = truth(run)
    repeated = {
        (key, captions(run)[key][s:e])
        for key, s, e, *_ in expected
        if captions(run)[key].index(captions(run)[key][s:e]) != s
    }
    where = [box for box in expected if (box[0], captions(run)[box[0]][box[1] : box[2]]) not in repeated]
    kept = [box for box in found if (box[0], captions(run)[box[0]][box[1] : box[2]]) not in repeated]
    same(kept, where)
    assert len(found) == len(expected)
    check_images(export, {t["data"]["key"]: t["data"]["image"].split("?d=")[1] for t in tasks})


def test_tasks_and_config_are_as_label_studio_wants_them(exported: Callable[..., Exported]) -> None:
    export = exported("label-studio", images=False)
    config = export.path("config.xml").read_text()
    tasks = export.json("tasks.json")
    assert len(tasks) > 20 and [problems(config, task) for task in tasks] == [[]] * len(tasks)


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another control": (lambda result: result.update(from_name="box"), "no control is named box"),
    "another object": (lambda result: result.update(to_name="img"), "phrase is not of img"),
    "another type": (lambda result: result.update(type="rectangle"), "phrase makes no rectangle"),
    "a strange label": (lambda result: result["value"].update(rectanglelabels=["a zeppelin"]), "is not offered"),
    "pixels": (lambda result: result["value"].update(x=250.0), "a rectangle that is not within its image"),
    "corners": (lambda result: result["value"].pop("width"), "a rectangle without its sides"),
    "no size": (lambda result: result.update(original_width=None), "the image has no size"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_rules_see_what_is_broken(exported: Callable[..., Exported], name: str) -> None:
    export = exported("label-studio", images=False)
    task = export.json("tasks.json")[0]
    spoil, words = BROKEN[name]
    spoil(task["predictions"][0]["result"][0])
    (found,) = problems(export.path("config.xml").read_text(), task)
    assert words in found


def test_the_rules_see_a_config_that_fits_no_task(exported: Callable[..., Exported]) -> None:
    export = exported("label-studio", images=False)
    config, task = export.path("config.xml").read_text(), export.json("tasks.json")[0]
    assert problems(config.replace("$phrases", "$labels"), {**task, "predictions": []}) == [
        "the config shows $labels, which the task lacks"
    ]
    found = problems(config.replace('toName="image"', 'toName="picture"'), task)
    assert found[0] == "phrase belongs to no image" and len(found) > 1


def test_label_studio_accepts_its_tasks(exported: Callable[..., Exported]) -> None:
    name = "label_studio_sdk.label_interface"
    interface = pytest.importorskip(name, reason="label-studio-sdk is not installed; pip install it to run this")
    export = exported("label-studio", images=False)
    config = interface.LabelInterface(export.path("config.xml").read_text())
    config.validate()
    tasks = export.json("tasks.json")
    assert len(tasks) > 20
    for task in tasks:
        assert config.validate_task({"data": task["data"]})
        assert [config.validate_prediction(p, return_errors=True) for p in task["predictions"]] == [[]]
