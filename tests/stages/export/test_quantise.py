"""Rounding rules of the models, against the models' own code where transformers has it."""

from __future__ import annotations

import ast
import importlib.util
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.export.quantise import floored, patches, rounded, scaled, smart_size

CORNERS = [(0.0, 0.0, 320.0, 240.0), (319.5, 239.5, 320.0, 240.0), (-3.0, 10.0, 400.0, 11.0), (57.0, 1.0, 58.0, 2.0)]


def boxes(count: int) -> list[tuple[tuple[float, float, float, float], tuple[int, int]]]:
    """Drawn boxes, with the sizes of their images."""
    drawn, rng = [], random.Random(0)
    for _ in range(count):
        width, height = rng.randint(1, 900), rng.randint(1, 900)
        x1, x2 = sorted(rng.uniform(0, width) for _ in range(2))
        y1, y2 = sorted(rng.uniform(0, height) for _ in range(2))
        drawn.append(((x1, y1, x2 + 1e-3, y2 + 1e-3), (width, height)))
    return drawn


def of_transformers(module: str, name: str) -> Any:
    """A function of a module that cannot be imported, because it wants torchvision: compiled from the file."""
    package = importlib.util.find_spec("transformers")
    assert package and package.origin
    source = (Path(package.origin).parent / module).read_text("utf-8")
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    namespace: dict[str, Any] = {"math": math}
    exec(compile(tree, module, "exec"), namespace)
    return namespace[name]


def test_qwens_own_resizing() -> None:
    theirs = of_transformers("models/qwen2_vl/image_processing_qwen2_vl.py", "smart_resize")
    sizes = [(1, 1), (10, 500), (28, 28), (13, 14), (42, 70), (4000, 3000), (9000, 8000), (20, 17), (3584, 3584)]
    rng = random.Random(0)
    sizes += [(rng.randint(30, 5000), rng.randint(30, 5000)) for _ in range(300)]
    for width, height in sizes:
        for limit in (50176, 1003520, 12845056):
            expected = theirs(height, width, 28, 3136, limit)
            assert smart_size((width, height), 28, 3136, limit) == expected[::-1]


def test_florences_own_bins() -> None:
    from transformers.models.florence2.processing_florence2 import Florence2PostProcessor

    reader = Florence2PostProcessor.__new__(Florence2PostProcessor)
    reader.quantize_bins = (1000, 1000)
    drawn = [(corners, (320, 240)) for corners in CORNERS] + boxes(200)
    assert len(drawn) == 204
    for corners, size in drawn:
        expected = reader.quantize(torch.tensor([corners], dtype=torch.float64), size)[0].tolist()
        assert floored(corners, size, 1000, 999) == pytest.approx(expected, abs=0)


def test_kosmos_own_patches() -> None:
    from transformers.models.kosmos2.processing_kosmos2 import coordinate_to_patch_index

    for corners, size in boxes(200):
        inside = scaled(corners, size, (1, 1))
        if inside[0] < inside[2] and inside[1] < inside[3]:
            assert patches(corners, size, 32) == coordinate_to_patch_index(inside, 32)
    assert patches((0, 0, 320, 240), (320, 240), 32) == (0, 1023)
    assert patches((319.9, 239.9, 320, 240), (320, 240), 32) == (1023, 1023)
    assert patches((320, 240, 320, 240), (320, 240), 32) == (1023, 1023)  # an empty box at the edge


def test_corners_that_lie_on_a_bin_are_in_it() -> None:
    """Whole pixels of round sizes: 29 / 100 * 1000 is 290, where shares would give 289.99..."""
    for place in range(101):
        assert floored((place, 0, 100, 100), (100, 100), 1000, 1000)[0] == place * 10


def test_what_lies_outside_is_moved_to_the_edge() -> None:
    assert rounded((-3, 10, 400, 11), (320, 240), (1000, 1000)) == (0, 42, 1000, 46)
    assert floored((-3, -1, 400, 240), (320, 240), 1000, 999) == (0, 0, 999, 999)
    assert scaled((-3, 10, 400, 300), (320, 240), (1, 1)) == (0, 10 / 240, 1, 1)
