"""What Label Studio asks of a task and its labelling config, told from its documentation and its SDK's validator.

Both drop or refuse a region without a word to whoever imports it, so that each rule is a line that says what is wrong.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as xml
from collections.abc import Iterator
from typing import Any

OBJECTS = {"Image"}
CONTROLS = {"RectangleLabels": "Image", "BrushLabels": "Image"}  # and the object that each belongs to
SHARES = ("x", "y", "width", "height")  # of a rectangle, in percent of the image's sides


def problems(config: str, task: dict[str, Any]) -> list[str]:
    """Of a task with its predictions and annotations."""
    root, data = xml.fromstring(config), task["data"]
    found = [] if root.tag == "View" else ["the config is no View"]
    objects = {tag.get("name"): tag for tag in root.iter() if tag.tag in OBJECTS}
    controls = {tag.get("name"): tag for tag in root.iter() if tag.tag in CONTROLS}
    for variable in re.findall(r'value="\$(\w+)"', config):
        found += [] if data.get(variable) else [f"the config shows ${variable}, which the task lacks"]
    for name, tag in controls.items():
        target = objects.get(tag.get("toName"))
        found += [] if target is not None and target.tag == CONTROLS[tag.tag] else [f"{name} belongs to no image"]
    for group in (*task.get("predictions", []), *task.get("annotations", [])):
        ids = [result["id"] for result in group["result"]]
        found += [] if len(set(ids)) == len(ids) and all(isinstance(own, str) for own in ids) else ["ids repeat"]
        score = group.get("score", 0.0)
        found += [] if isinstance(score, float) and 0 <= score <= 1 else [f"a score of {score}"]
        for result in group["result"]:
            found += of_result(result, controls, data)
    return found


def of_result(result: dict[str, Any], controls: dict[str | None, Any], data: dict[str, Any]) -> Iterator[str]:
    control = controls.get(result["from_name"])
    if control is None:
        yield f"no control is named {result['from_name']}"
        return
    if result["to_name"] != control.get("toName"):
        yield f"{result['from_name']} is not of {result['to_name']}"
    if result["type"] != control.tag.lower():
        yield f"{result['from_name']} makes no {result['type']}"
        return
    offered = {label["value"] for label in data[control.get("value").removeprefix("$")]}
    chosen = result["value"].get(result["type"])
    if not chosen or not set(chosen) <= offered:
        yield f"{chosen} is not offered"
    if not all(isinstance(result[side], int) and result[side] > 0 for side in ("original_width", "original_height")):
        yield "the image has no size"
    yield from (of_rectangle if result["type"] == "rectanglelabels" else of_brush)(result["value"])


def of_rectangle(value: dict[str, Any]) -> Iterator[str]:
    if not all(isinstance(value.get(name), float | int) for name in SHARES):
        yield "a rectangle without its sides"
        return
    x, y, width, height = (value[name] for name in SHARES)
    if min(x, y) < 0 or min(width, height) <= 0 or max(x + width, y + height) > 100 + 1e-6:
        yield "a rectangle that is not within its image"
    if not isinstance(value.get("rotation"), float | int):
        yield "a rectangle without a rotation"


def of_brush(value: dict[str, Any]) -> Iterator[str]:
    if value.get("format") != "rle" or not all(isinstance(byte, int) and 0 <= byte < 256 for byte in value["rle"]):
        yield "a brush that is no list of bytes"
