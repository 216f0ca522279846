"""A run folder on the disk, for tests of single stages: the storage interface in its plainest form."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.config import Config
from schemas.records import part_name, schema_of
from stages.ingest.stage import IngestStage
from stages.stage import ImageRef, PartResult, RowError, Slice, SourceFile
from tests.stages.audit_run import make_run, shapes

__all__ = ["make_run", "shapes"]

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


class DiskIO:
    """PartIO, RunIO and Files in one."""

    def __init__(self, root: Path, part: int = 0, piece: Slice | None = None) -> None:
        self.root = root
        self.part = part
        self.slice = piece
        self.reads: list[ImageRef] = []  # every image that was asked for
        self.done = 0

    def _path(self, uri: str) -> Path:
        return self.root / uri

    def list_source(self, uri: str) -> list[SourceFile]:
        top = self._path(uri)
        if not top.exists():
            raise FileNotFoundError(uri)
        if top.is_file():
            return [SourceFile(uri, top.stat().st_size)]
        found = [Path(folder, name) for folder, _, names in os.walk(top) for name in names]
        return sorted(
            (
                SourceFile(f"{uri.rstrip('/')}/{path.relative_to(top).as_posix()}", path.stat().st_size)
                for path in found
            ),
            key=lambda file: file.uri,
        )

    def open_source(self, uri: str) -> BinaryIO:
        return open(self._path(uri), "rb")

    def image_bytes(self, refs: Sequence[ImageRef]) -> Iterator[bytes | RowError]:
        for ref in refs:
            self.reads.append(ref)
            try:
                with open(self._path(ref.uri), "rb") as file:
                    if ref.offset < 0:
                        yield file.read()
                        continue
                    file.seek(ref.offset)
                    data = file.read(ref.length)
                    yield data if len(data) == ref.length else RowError("missing_image", "the range ends early")
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                yield RowError("missing_image", ref.uri)

    def read(self, dataset: str, columns: Sequence[str] | None = None) -> pa.Table:
        return self.read_part(dataset, self.part, columns)

    def read_part(self, dataset: str, part: int, columns: Sequence[str] | None = None) -> pa.Table:
        return pq.read_table(self.root / dataset / part_name(part), columns=list(columns) if columns else None)

    def has(self, dataset: str) -> bool:
        return (self.root / dataset / part_name(self.part)).exists()

    def write(self, dataset: str, table: pa.Table) -> None:
        path = self.root / dataset / part_name(self.part)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.cast(schema_of(dataset)), path)

    @contextmanager
    def create(self, path: str) -> Iterator[BinaryIO]:
        final = self.root / path
        final.parent.mkdir(parents=True, exist_ok=True)
        staged = final.with_name(final.name + ".draft")
        with open(staged, "wb") as file:
            yield file
        staged.rename(final)

    def progress(self, pairs: int) -> None:
        self.done += pairs

    def parts(self) -> list[int]:
        return sorted(int(path.name[5:12]) for path in (self.root / "pairs").glob("part-*.parquet"))

    def open(self, path: str) -> BinaryIO:
        return open(self.root / path, "rb")


class Run:
    """A run folder and a config; `ingest()` plans and runs all parts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.results: dict[int, PartResult] = {}

    def config(self, **sections: Any) -> Config:
        """A resolved config: sections given by name, ingest's `auto` made explicit."""
        config = Config.model_validate({"run": str(self.root), **sections})
        ingest = config.ingest.model_copy(update=IngestStage.resolve(config))
        return config.model_copy(update={"ingest": ingest})

    def io(self, part: int = 0, piece: Slice | None = None) -> DiskIO:
        return DiskIO(self.root, part, piece)

    def ingest(self, part_size: int = 1000, **ingest: Any) -> list[dict[str, Any]]:
        """All pairs."""
        stage = IngestStage(self.config(ingest=ingest))
        for part, piece in enumerate(stage.plan(self.io(), part_size)):
            assert 0 < piece.stop - piece.start <= part_size
            self.results[part] = stage.run_part(self.io(part, piece))
            assert self.results[part].counts.balanced
        return self.rows("pairs")

    def rows(self, dataset: str) -> list[dict[str, Any]]:
        """The rows of all parts of a dataset."""
        paths = sorted((self.root / dataset).glob("part-*.parquet"))
        return [row for path in paths for row in pq.read_table(path).to_pylist()]

    def rejects(self, stage: str = "ingest") -> dict[str, str]:
        """Reason by source_id."""
        return {row["source_id"]: row["reason"] for row in self.rows(f"rejects/{stage}")}

    def image(self, pair: dict[str, Any]) -> bytes:
        (data,) = self.io().image_bytes([ImageRef(**pair["image"])])
        assert isinstance(data, bytes)
        return data


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"needs the real inputs in {SHARED}")
    return SHARED
