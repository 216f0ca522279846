"""A model that says what it is told to, and folders of images that it can tell apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from model.outputs import Grounding
from model.prompt import Prompt, category_prompts
from model.segmenter import Segment
from model.teacher import Work
from pipeline.storage.files import RunFiles
from pipeline.storage.local import LocalStorage
from tests.stages.evaluate.flickr30k_files import ANNOTATION, SENTENCES

Box = tuple[tuple[float, float, float, float], float, int]  # corners, score, phrase or category


class ScriptedTeacher:
    """Cuts categories into prompts as GLIP does."""

    def category_work(self, categories: Sequence[str], per_prompt: int | None = None) -> Work[Prompt]:
        return category_prompts(categories, per_prompt)


class Scripted:
    """Stands for a scheduler. Knows an image by its grey level, and answers with that image's boxes, or that caption's
    of it."""

    teacher = ScriptedTeacher()

    def __init__(
        self,
        script: Mapping[Any, Sequence[Box]],
        failures: Mapping[Any, str] | None = None,
        dropped: Mapping[Any, Sequence[tuple[int, str]]] | None = None,
    ) -> None:
        self.script, self.failures, self.dropped = script, failures or {}, dropped or {}
        self.calls: list[dict[str, Any]] = []

    def detect(self, images: Sequence[np.ndarray], categories: Sequence[str], **options: Any) -> list[Grounding]:
        self.calls.append({"images": len(images), "categories": list(categories), **options})
        return [self.answer(level(image)) for image in images]

    def ground(
        self, images: Sequence[np.ndarray], captions: Sequence[str], spans: Sequence[Any], **options: Any
    ) -> list[Grounding]:
        self.calls.append({"captions": list(captions), "spans": list(spans), **options})
        return [self.answer((level(image), caption)) for image, caption in zip(images, captions, strict=True)]

    def answer(self, key: Any) -> Grounding:
        if key in self.failures:
            return Grounding.empty(failed=self.failures[key])
        rows = sorted(self.script.get(key, ()), key=lambda row: -row[1])
        return Grounding(
            torch.tensor([box for box, _, _ in rows], dtype=torch.float32).reshape(-1, 4),
            torch.tensor([score for _, score, _ in rows], dtype=torch.float32),
            torch.tensor([phrase for _, _, phrase in rows], dtype=torch.int64),
            list(self.dropped.get(key, ())),
        )


def level(image: np.ndarray) -> int:
    return int(image[0, 0, 0])


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted


@pytest.fixture
def io(tmp_path: Path) -> RunFiles:
    """The storage that the engine hands to a job."""

    def no_beat(done: int, total: int, message: str) -> None:
        pass

    return RunFiles(LocalStorage(str(tmp_path / "run")), [], "test", no_beat)


@pytest.fixture
def paint(tmp_path: Path) -> Callable[..., str]:
    """Writes plain images {name: grey level} and returns their folder."""

    def write(levels: Mapping[str, int], size: tuple[int, int] = (100, 80)) -> str:
        for name, grey in levels.items():
            path = tmp_path / "pictures" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", size, (grey, grey, grey)).save(path, "PNG")
        return str(tmp_path / "pictures")

    return write


@pytest.fixture
def entities(tmp_path: Path) -> Path:
    for folder, suffix, text in (("Sentences", "txt", SENTENCES), ("Annotations", "xml", ANNOTATION)):
        (tmp_path / folder).mkdir()
        for one in ("36", "54"):
            (tmp_path / folder / f"{one}.{suffix}").write_text(text, encoding="utf-8")
    (tmp_path / "test.txt").write_text("54\n36\n")
    return tmp_path


class Cutter:
    """Stands for a segmenter: a mask is its box, to the whole pixel, or what `answers` has for it."""

    def __init__(self, answers: Mapping[tuple[float, ...], np.ndarray] | None = None) -> None:
        self.answers = answers or {}
        self.images = 0

    def segment(self, image: np.ndarray, boxes: np.ndarray) -> Iterator[Segment]:
        self.images += 1
        for box in boxes.tolist():
            mask = np.zeros(image.shape[:2], np.bool_)
            x1, y1, x2, y2 = (round(side) for side in box)
            mask[y1:y2, x1:x2] = True
            yield Segment(self.answers.get(tuple(box), mask), 0.5)


@pytest.fixture
def cutter() -> type[Cutter]:
    return Cutter
