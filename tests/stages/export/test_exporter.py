"""What all exports share: the samples of a run and the bytes of their images."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from stages.export.exporter import Exporter, LabelledImage, labelled_images
from stages.export.formats import export


def test_other_image_formats_keep_their_bytes_and_get_their_own_suffix(
    shapes: Callable[..., Any], tmp_path: Path
) -> None:
    run = shapes().fill(4)
    buffer = io.BytesIO()
    Image.new("RGB", (320, 240), "red").save(buffer, "PNG")
    key = next(row["key"] for row in run.rows["pseudo"] if row["boxes"])
    (run.root / "images" / f"{key}.jpg").write_bytes(buffer.getvalue())
    written = {}

    @contextmanager
    def create(name: str) -> Iterator[BinaryIO]:
        written[name] = io.BytesIO()
        yield written[name]

    export(run.all_parts(), "odvg", create, config=run.config)
    assert written[f"images/{key}.png"].getvalue() == buffer.getvalue()


class Counted(Exporter):
    """Notes what it is given, and in which order."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: list[LabelledImage | str] = []

    def begin(self) -> None:
        self.seen.append("begin")
        self.file = self.open("all.txt")

    def write(self, image: LabelledImage) -> None:
        self.seen.append(image)
        self.file.write(image.key.encode())

    def end(self) -> None:
        self.seen.append("end")


def test_an_export_sees_each_image_with_boxes_once_and_says_what_it_wrote(
    shapes: Callable[..., Any], tmp_path: Path
) -> None:
    run = shapes().fill(12)
    written: dict[str, io.BytesIO] = {}

    @contextmanager
    def create(name: str) -> Iterator[BinaryIO]:
        yield io.BytesIO()
        written[name] = io.BytesIO()  # there when it is complete

    expected = {row["key"]: row for row in run.rows["pseudo"] if row["boxes"]}
    assert len(expected) > 0
    exporter = Counted(run.all_parts(), create, run.config, None, False)
    done = exporter.run()
    first, *images, last = exporter.seen
    assert (first, last) == ("begin", "end") and list(written) == ["all.txt"]
    listed = [image for image in images if isinstance(image, LabelledImage)]
    assert [image.key for image in listed] == sorted(expected)
    assert done == {"images": len(listed), "boxes": sum(len(row["boxes"]) for row in expected.values()), "files": 1}
    for image in listed:
        by_phrase = [(phrase.start, len(boxes)) for phrase, boxes in image.by_phrase()]
        assert by_phrase == sorted(by_phrase) and sum(count for _, count in by_phrase) == len(image.boxes)
        assert all(image.text(box) == image.caption[slice(*image.span(box))] for box in image.boxes)


def test_a_lower_threshold_reads_the_labels(shapes: Callable[..., Any], tmp_path: Path) -> None:
    run = shapes().fill(12)
    for threshold in (0.2, 0.6, 0.9):
        expected = {
            row["key"]: [box["score"] for box in row["boxes"] if box["score"] > threshold] for row in run.rows["labels"]
        }
        found = {image.key: [box.score for box in image.boxes] for image in labelled_images(run.all_parts(), threshold)}
        assert found == {key: scores for key, scores in expected.items() if scores}
