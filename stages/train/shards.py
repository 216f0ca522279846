"""Samples of WebDataset shards that phrasebox made, read where they lie."""

from __future__ import annotations

import json
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stages.annotations import reading
from stages.geometry import box_array
from stages.shard.index import read_index
from stages.stage import Files, UserError
from stages.train.order import shuffled_in_blocks
from stages.train.samples import TrainingSample
from stages.train.wording import noun, nouns

OPEN_SHARDS = 16


class ShardSet:
    """WebDataset shards that phrasebox made, read by their member offsets; samples stay where they are.

    `folder`: a local path or URI, or relative to the run: its own shards. Raises UserError where its index is not.
    """

    pseudo = True

    def __init__(self, files: Files, folder: str = "shards", min_score: float = 0.0, pseudo: bool = True) -> None:
        self.files, self.folder, self.min_score, self.pseudo = files, folder.rstrip("/"), min_score, pseudo
        self.unused = Counter[str]()
        index = f"{self.folder}/index.json"
        try:
            with reading(index, "list of phrasebox shards", "train"), files.open_source(index) as stream:
                self.shards = read_index(stream)
        except FileNotFoundError:
            raise UserError(f"{folder}: no shards here (there is no index.json)") from None
        self.starts = np.concatenate([[0], np.cumsum([samples for _, samples in self.shards])]).astype(np.int64)
        self._open: OrderedDict[int, OpenShard] = OrderedDict()
        self._locating = threading.Lock()  # of `_open`; each shard has a lock of its own for its stream

    def __len__(self) -> int:
        return int(self.starts[-1])

    def sample(self, index: int) -> TrainingSample:
        shard, row = self._locate(index)
        return shard.sample(row, self.min_score, self.pseudo)

    def shape(self, index: int) -> tuple[int, int]:
        shard, row = self._locate(index)
        return int(shard.records[row]["height"]), int(shard.records[row]["width"])

    def names(self, index: int) -> frozenset[str]:
        shard, row = self._locate(index)
        return shard.names(row, self.min_score)

    def captions_near(self, index: int) -> list[str]:
        """Of all samples in the same shard, which is open anyway."""
        return self._locate(index)[0].captions

    def order(self, counts: NDArray[np.int64], seed: int, number: int, epoch: int) -> NDArray[np.int64]:
        blocks = [samples for _, samples in self.shards]
        return shuffled_in_blocks(counts, blocks, OPEN_SHARDS // 2, seed, number, epoch)

    def vocabulary(self) -> list[str]:
        return []

    def phrases_near(self, index: int) -> dict[str, list[str]]:
        """Those with boxes of all samples in the same shard, which is open anyway, by their noun."""
        return self._locate(index)[0].phrases

    def _locate(self, index: int) -> tuple[OpenShard, int]:
        number = int(np.searchsorted(self.starts, index, side="right")) - 1
        with self._locating:
            if number in self._open:
                self._open.move_to_end(number)
            else:
                file, samples = self.shards[number]
                self._open[number] = OpenShard(self.files, f"{self.folder}/{file}", samples)
                if len(self._open) > OPEN_SHARDS:
                    self._open.popitem(last=False)[1].close()
            return self._open[number], index - int(self.starts[number])


class OpenShard:
    """One tar: its records in memory, its images by offset."""

    def __init__(self, files: Files, path: str, samples: int) -> None:
        self._files, self._path = files, path
        self._stack = ExitStack()
        self._stream: BinaryIO | None = self._stack.enter_context(files.open_source(path))
        self._reading = threading.Lock()
        self.records: list[dict[str, Any]] = []
        self._images: list[tuple[int, int]] = []  # offset, length
        for image, record in tar_samples(self._stream):
            self._images.append(image)
            self.records.append(record)
        if len(self.records) != samples:
            raise ValueError(
                f"{path} holds {len(self.records)} samples, its index says {samples}: run phrasebox verify"
            )
        self.captions: list[str] = [record["caption"] for record in self.records]
        self.phrases: dict[str, list[str]] = {}
        for record in self.records:
            for phrase in sorted({box["phrase"] for box in record["boxes"]}):
                text: str = record["phrases"][phrase]["text"]
                if word := noun(text, ((0, len(text)),)):
                    self.phrases.setdefault(word, []).append(text)

    def sample(self, row: int, min_score: float, pseudo: bool) -> TrainingSample:
        record = self.records[row]
        scores = np.asarray([box["score"] for box in record["boxes"]], dtype=np.float32)
        sample = TrainingSample(
            key=record["key"],
            image=self._image(row),
            caption=record["caption"],
            spans=tuple(((phrase["start"], phrase["end"]),) for phrase in record["phrases"]),
            boxes=box_array([box["bbox"] for box in record["boxes"]]),
            phrase=np.asarray([box["phrase"] for box in record["boxes"]], dtype=np.int64),
            scores=scores,
            pseudo=pseudo,
        )
        return sample.keep(scores >= min_score)

    def names(self, row: int, min_score: float) -> frozenset[str]:
        record = self.records[row]
        shown = {box["phrase"] for box in record["boxes"] if box["score"] >= min_score}
        phrases = [record["phrases"][phrase] for phrase in shown]
        return nouns(record["caption"], [((phrase["start"], phrase["end"]),) for phrase in phrases])

    def _image(self, row: int) -> bytes:
        offset, length = self._images[row]
        with self._reading:
            if self._stream is not None:
                self._stream.seek(offset)
                return self._stream.read(length)
        with self._files.open_source(self._path) as stream:  # closed for another shard while this thread came to it
            stream.seek(offset)
            return stream.read(length)

    def close(self) -> None:
        with self._reading:
            self._stream = None
            self._stack.close()


def tar_samples(stream: BinaryIO) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    """((offset, length) of the image, the record) of each sample of one of our shards, in order."""
    import tarfile

    pending: dict[str, tuple[int, int]] = {}
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            stem, _, suffix = member.name.rpartition(".")
            if suffix == "json":
                content = tar.extractfile(member)
                if content is None or stem not in pending:
                    raise ValueError(f"{member.name}: no image before it; not a phrasebox shard")
                yield pending.pop(stem), json.load(content)
            else:
                pending[stem] = (member.offset_data, member.size)
