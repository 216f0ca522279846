"""Image bytes in the order asked for, by few reads, each once."""

from __future__ import annotations

import io
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from pipeline.storage import images
from pipeline.storage.files import SourceFiles
from pipeline.storage.images import image_bytes
from pipeline.storage.local import LocalStorage
from stages.stage import ImageRef, RowError


class Shelf:
    """Files in memory that count how often they are opened and read."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.opened: Counter[str] = Counter()
        self.reads: list[int] = []

    @contextmanager
    def open(self, uri: str) -> Iterator[BinaryIO]:
        self.opened[uri] += 1
        if uri not in self.files:
            raise FileNotFoundError(uri)
        shelf = self

        class Counted(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                data = super().read(size)
                shelf.reads.append(len(data))
                return data

        yield Counted(self.files[uri])


def test_random_ranges_of_several_files_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "WINDOW", 16)
    monkeypatch.setattr(images, "GAP", 100)
    monkeypatch.setattr(images, "CHUNK", 2000)
    chance = random.Random(3)
    files = {f"{number}.tar": chance.randbytes(20_000) for number in range(3)}
    refs = []
    for _ in range(200):
        uri = chance.choice(sorted(files))
        offset = chance.randrange(0, 19_000)
        refs.append(ImageRef(uri, offset, chance.randrange(0, 900)) if chance.random() < 0.95 else ImageRef(uri))
    found = list(image_bytes(Shelf(files).open, refs))
    assert found == [
        files[ref.uri] if ref.offset < 0 else files[ref.uri][ref.offset : ref.offset + ref.length] for ref in refs
    ]


def test_neighbours_are_read_together_and_equal_ones_once() -> None:
    shelf = Shelf({"a.tar": bytes(range(200)) * 10})
    refs = [ImageRef("a.tar", start, 100) for start in range(0, 2000, 100)]
    found = list(image_bytes(shelf.open, [*reversed(refs), *refs]))
    assert found[:20] == list(reversed(found[20:]))
    assert shelf.opened == {"a.tar": 1} and shelf.reads == [2000]


def shared_images(chance: random.Random) -> tuple[dict[str, bytes], list[ImageRef]]:
    """40 images in two tars, each asked for five times, far apart."""
    files = {name: chance.randbytes(20 * 100) for name in ("a.tar", "b.tar")}
    refs = [ImageRef(name, start, 100) for name in files for start in range(0, 2000, 100)] * 5
    chance.shuffle(refs)
    return files, refs


def test_several_captions_of_an_image_cost_one_read_however_far_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "WINDOW", 7)
    monkeypatch.setattr(images, "GAP", -1)  # every range by itself, so that reads can be counted
    files, refs = shared_images(random.Random(1))
    shelf = Shelf(files)
    found = list(image_bytes(shelf.open, refs))
    assert found == [files[ref.uri][ref.offset : ref.offset + 100] for ref in refs]
    assert shelf.reads == [100] * 40


def test_what_is_kept_for_later_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "WINDOW", 7)
    monkeypatch.setattr(images, "GAP", -1)
    monkeypatch.setattr(images, "KEPT", 10 * 100)
    files, refs = shared_images(random.Random(2))
    shelf = Shelf(files)
    steps = image_bytes(shelf.open, refs)
    for ref, data in zip(refs, steps, strict=True):
        assert data == files[ref.uri][ref.offset : ref.offset + 100]
        held = steps.gi_frame.f_locals["kept"] if steps.gi_frame else {}  # type: ignore[attr-defined]
        assert sum(map(len, held.values())) <= 1000
    assert 40 < len(shelf.reads) < 200  # some twice, and yet fewer than one a caption


def test_far_ranges_are_read_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "GAP", 10)
    shelf = Shelf({"a.tar": bytes(1000)})
    list(image_bytes(shelf.open, [ImageRef("a.tar", 0, 50), ImageRef("a.tar", 900, 50), ImageRef("a.tar", 55, 5)]))
    assert sorted(shelf.reads) == [50, 60]


def test_what_is_not_there_is_a_reject_of_its_row_alone() -> None:
    shelf = Shelf({"a.tar": b"0123456789"})
    good = ImageRef("a.tar", 2, 3)
    refs = [ImageRef("b.tar"), good, ImageRef("a.tar", 8, 3), ImageRef("a.tar", 2, -1), ImageRef("a.tar", 0, 1 << 40)]
    refs.append(ImageRef("https://example.com/x.jpg"))
    found = list(image_bytes(shelf.open, refs))
    assert found[1] == b"234"
    reasons = [item.reason for item in found if isinstance(item, RowError)]
    assert reasons == ["missing_image", "missing_image", "missing_image", "image_too_large", "image_read_refused"]
    assert "https://example.com/x.jpg" not in shelf.opened


def test_a_store_that_fails_is_no_fault_of_the_row() -> None:
    @contextmanager
    def broken(uri: str) -> Iterator[BinaryIO]:
        raise OSError("input/output error")
        yield

    with pytest.raises(OSError, match="input/output"):
        list(image_bytes(broken, [ImageRef("a.tar")]))


def test_a_folder_or_a_path_through_a_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/in-run.jpg").write_bytes(b"in the run")
    files = SourceFiles(LocalStorage(str(tmp_path)))
    refs = [ImageRef(str(tmp_path)), ImageRef(str(tmp_path / "file/x")), ImageRef("images/in-run.jpg")]
    refs.append(ImageRef(f"file://{tmp_path}/file"))
    found = list(files.image_bytes(refs))
    assert [item.reason for item in found[:2] if isinstance(item, RowError)] == ["missing_image", "missing_image"]
    assert found[2:] == [b"in the run", b"x"]
