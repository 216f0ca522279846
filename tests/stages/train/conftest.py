"""A run folder with shards of scenes, and a small training on it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from schemas.config import Config
from schemas.records import part_name
from stages.stage import ImageRef, RowError
from stages.synthetic import draw_scene
from tests.stages.conftest import DiskIO


class RunDisk:
    """RunIO on a folder; `fail_after` makes the run die when that file is about to be written."""

    def __init__(self, root: Path, fail_before: str | None = None) -> None:
        self.root, self.fail_before = root, fail_before
        self.messages: list[tuple[int, int, str]] = []

    def parts(self) -> list[int]:
        return [0]

    def files(self, folder: str) -> list[str]:
        return sorted(path.relative_to(self.root).as_posix() for path in (self.root / folder).rglob("*.*"))

    def open(self, path: str) -> BinaryIO:
        return open(self.root / path, "rb")

    open_source = open

    def image_bytes(self, refs: Sequence[ImageRef]) -> Iterator[bytes | RowError]:
        return ((self.root / ref.uri).read_bytes() for ref in refs)

    @contextmanager
    def create(self, path: str) -> Iterator[BinaryIO]:
        if path == self.fail_before:
            raise KeyboardInterrupt(path)
        buffer = io.BytesIO()
        yield buffer
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(buffer.getvalue())

    def delete(self, path: str) -> None:
        (self.root / path).unlink()

    def progress(self, done: int, total: int, message: str = "") -> None:
        self.messages.append((done, total, message))


def write_shard(path: Path, scenes: range, split: str = "web") -> None:
    """A shard as the shard stage writes it, with the gold boxes as labels."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for index in scenes:
            scene = draw_scene(split, 0, index)
            boxes = [
                {"phrase": box.span, "bbox": [box.x1, box.y1, box.x2, box.y2], "score": 0.5 + 0.1 * (i % 5)}
                for i, box in enumerate(scene.boxes)
            ]
            record = {
                "key": f"{index:012d}",
                "caption": scene.caption,
                "width": scene.width,
                "height": scene.height,
                "phrases": [
                    {"start": start, "end": end, "text": scene.caption[start:end]} for start, end in scene.spans
                ],
                "boxes": boxes,
            }
            for suffix, data in (("jpg", scene.jpeg), ("json", json.dumps(record).encode())):
                member = tarfile.TarInfo(f"test-{index:012d}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A run with three shards of 5, 7 and 4 samples."""
    (tmp_path / "shards").mkdir()
    index: list[dict[str, Any]] = []
    for number, scenes in enumerate((range(5), range(5, 12), range(12, 16))):
        file = f"0000000-{number:03d}.tar"
        write_shard(tmp_path / "shards" / file, scenes)
        index.append({"file": file, "samples": len(scenes), "bytes": 0, "sha256": ""})
    (tmp_path / "shards" / "index.json").write_text(json.dumps({"shards": index}))
    return tmp_path


def small_training(**changes: Any) -> Config:
    settings = {"steps": 4, "batch_size": 4, "checkpoint_every": 2, "log_every": 1, "threads": 1, "warmup": 1}
    return Config.model_validate(
        {"run": "unused", "train": {**settings, "device": "cpu", **changes}, "label": {"device": "cpu"}}
    )


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) by tag, as TensorBoard reads a folder of event files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]} | {
        tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


GOLD = ({"source": "scenes", "split": "gold", "count": 6, "seed": 1, "detection": 0.5},)


SAME_SHAPE = tuple(  # four images of 224 x 224 with 6, 5, 3 and 4 objects: padding is the same whoever holds them
    {"source": "scenes", "split": "gold", "count": 1, "seed": seed} for seed in (6, 9, 20, 32)
)


class RunFolder(DiskIO):
    """A run on the disk as training reads it; images that are not there are RowErrors."""

    def files(self, folder: str) -> list[str]:
        return sorted(path.relative_to(self.root).as_posix() for path in (self.root / folder).rglob("*.*"))

    def has_part(self, dataset: str, part: int) -> bool:
        return (self.root / dataset / part_name(part)).exists()
