"""Where samples come from: the run's shards, scenes, another run's gold, COCO instances, MDETR-style grounding.

A set knows its size, gives sample i, and the shape (height, width) of sample i without decoding it.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from stages.annotations import read_json, reading
from stages.stage import Files, ImageRef, RowError, RunIO, UserError
from stages.training.order import shuffled, shuffled_in_blocks
from stages.training.samples import Sample, Spans, box_array
from stages.training.wording import noun, nouns

GOLD = "train.gold"  # the key of the files
OPEN_SHARDS = 16
NEIGHBOURS = 4  # scenes whose captions are written for one that wants others beside its own


class SampleSet(Protocol):
    pseudo: bool

    def __len__(self) -> int: ...

    def sample(self, index: int) -> Sample: ...

    def shape(self, index: int) -> tuple[int, int]:
        """(height, width), upright."""
        ...

    def names(self, index: int) -> frozenset[str]:
        """What sample i shows: its categories, or the nouns of its phrases that have boxes; without its pixels."""
        ...

    def captions_near(self, index: int) -> list[str]:
        """Captions that are at hand without opening a file or a picture: of all samples, or of some near sample i.

        Its own may be among them; none where samples have no captions.
        """
        ...

    def order(self, counts: NDArray[np.int64], seed: int, number: int, epoch: int) -> NDArray[np.int64]:
        """The order of one epoch: each index (n,) as often as `counts` says."""
        ...

    def vocabulary(self) -> list[str]:
        """Category names for detection prompts, sorted; empty where the set has none."""
        ...


class SceneSet:
    """Scenes drawn on the fly: nothing is stored."""

    pseudo = False

    def __init__(self, split: str, seed: int, count: int) -> None:
        self.split, self.seed, self.count = split, seed, count

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int) -> Sample:
        from stages.sources.scenes import draw_scene

        scene = draw_scene(self.split, self.seed, index)
        return Sample(
            key=f"{self.split}-{self.seed}-{index}",
            image=scene.jpeg,
            caption=scene.caption,
            spans=tuple(((start, end),) for start, end in scene.spans),
            boxes=box_array([(box.x1, box.y1, box.x2, box.y2) for box in scene.boxes]),
            phrase=np.asarray([box.span for box in scene.boxes], dtype=np.int64),
            scores=np.ones(len(scene.boxes), dtype=np.float32),
            pseudo=False,
            objects=tuple(scene.objects),
        )

    def shape(self, index: int) -> tuple[int, int]:
        from stages.sources.scenes import scene_size

        width, height = scene_size(self.split, self.seed, index)
        return height, width

    def names(self, index: int) -> frozenset[str]:
        from stages.sources.scenes import scene_nouns

        return scene_nouns(self.split, self.seed, index)

    def captions_near(self, index: int) -> list[str]:
        """Of the next scenes, around the end."""
        from stages.sources.scenes import scene_caption

        following = [(index + step) % self.count for step in range(1, NEIGHBOURS + 1)]
        return [scene_caption(self.split, self.seed, other) for other in following]

    def order(self, counts: NDArray[np.int64], seed: int, number: int, epoch: int) -> NDArray[np.int64]:
        return shuffled(counts, seed, number, epoch)

    def vocabulary(self) -> list[str]:
        """The nouns that may occur in this split."""
        from stages.sources.scenes import NOUNS

        return sorted(noun.name for noun in NOUNS if self.split != "gold" or noun.tier != "unseen")


class ShardSet:
    """WebDataset shards that phrasebox made, read by their member offsets; samples stay where they are.

    `folder`: a local path or URI, or relative to the run: its own shards.
    """

    pseudo = True

    def __init__(self, files: Files, folder: str = "shards", min_score: float = 0.0, pseudo: bool = True) -> None:
        self.files, self.folder, self.min_score, self.pseudo = files, folder.rstrip("/"), min_score, pseudo
        try:
            with files.open_source(f"{self.folder}/index.json") as stream:
                index = json.load(stream)
        except FileNotFoundError:
            raise UserError(f"{folder}: no shards here (there is no index.json)") from None
        self.shards = [(entry["file"], int(entry["samples"])) for entry in index["shards"] if entry["samples"]]
        self.starts = np.concatenate([[0], np.cumsum([samples for _, samples in self.shards])]).astype(np.int64)
        self._open: OrderedDict[int, OpenShard] = OrderedDict()

    def __len__(self) -> int:
        return int(self.starts[-1])

    def sample(self, index: int) -> Sample:
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
        self._stack = ExitStack()
        self._stream: BinaryIO = self._stack.enter_context(files.open_source(path))
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

    def sample(self, row: int, min_score: float, pseudo: bool) -> Sample:
        record = self.records[row]
        offset, length = self._images[row]
        self._stream.seek(offset)
        scores = np.asarray([box["score"] for box in record["boxes"]], dtype=np.float32)
        sample = Sample(
            key=record["key"],
            image=self._stream.read(length),
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

    def close(self) -> None:
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


class RunGoldSet:
    """The true boxes of a run whose source has them (pairs/ and gold/)."""

    pseudo = False

    def __init__(self, io: RunIO) -> None:
        self.io = io
        self.rows: list[tuple[int, dict[str, Any], dict[str, Any]]] = []
        for part in io.parts():
            if not io.has_part("gold", part):
                raise UserError("train.gold: the run has no gold/; its source has no true boxes")
            pairs = {row["key"]: row for row in io.read_part("pairs", part).to_pylist()}
            for gold in io.read_part("gold", part).to_pylist():
                self.rows.append((part, pairs[gold["key"]], gold))
        self._captions: list[str] = [pair["caption"] for _, pair, _ in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, index: int) -> Sample:
        _, pair, gold = self.rows[index]
        boxes = [(box["x1"], box["y1"], box["x2"], box["y2"]) for box in gold["boxes"]]
        return Sample(
            key=pair["key"],
            image=read_image(self.io, pair["image"]),
            caption=pair["caption"],
            spans=tuple(((span["start"], span["end"]),) for span in gold["spans"]),
            boxes=box_array(boxes),
            phrase=np.asarray([box["span"] for box in gold["boxes"]], dtype=np.int64),
            scores=np.ones(len(boxes), dtype=np.float32),
            pseudo=False,
            objects=tuple(
                (box["category"], at) for box, at in zip(gold["boxes"], boxes, strict=True) if box["category"]
            ),
        ).keep(np.asarray([box["span"] >= 0 for box in gold["boxes"]], dtype=bool))

    def shape(self, index: int) -> tuple[int, int]:
        return self.rows[index][1]["height"], self.rows[index][1]["width"]

    def names(self, index: int) -> frozenset[str]:
        _, pair, gold = self.rows[index]
        spans = [gold["spans"][box["span"]] for box in gold["boxes"] if not box["category"] and box["span"] >= 0]
        unnamed = nouns(pair["caption"], [((span["start"], span["end"]),) for span in spans])
        return unnamed.union(box["category"] for box in gold["boxes"] if box["category"])

    def captions_near(self, index: int) -> list[str]:
        return self._captions

    def order(self, counts: NDArray[np.int64], seed: int, number: int, epoch: int) -> NDArray[np.int64]:
        return shuffled(counts, seed, number, epoch)

    def vocabulary(self) -> list[str]:
        return sorted({box["category"] for _, _, gold in self.rows for box in gold["boxes"] if box["category"]})


def read_image(files: Files, image: dict[str, Any]) -> bytes:
    """Raises RowError where the image is not there."""
    data = next(iter(files.image_bytes([ImageRef(image["uri"], image["offset"], image["length"])])))
    if isinstance(data, RowError):
        raise data
    return data


class CocoSet:
    """COCO instances: pictures with boxes of categories and no captions, for detection prompts.

    Raises UserError for a file that is not there or holds something else.
    """

    pseudo = False

    def __init__(self, files: Files, annotations: str, images: str) -> None:
        data = read_json(files, annotations, GOLD)
        with reading(annotations, "COCO instances file", GOLD):
            names = {category["id"]: str(category["name"]) for category in data["categories"]}
            boxes: dict[int, list[tuple[str, tuple[float, float, float, float]]]] = {}
            for annotation in data["annotations"]:
                x, y, width, height = (float(value) for value in annotation["bbox"])
                if not annotation.get("iscrowd") and width > 1 and height > 1:
                    box = (x, y, x + width, y + height)
                    boxes.setdefault(annotation["image_id"], []).append((names[annotation["category_id"]], box))
            self.rows = [(picture_of(row), boxes[row["id"]]) for row in data["images"] if row["id"] in boxes]
        self.files, self.images = files, images
        self._names = sorted(names.values())

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, index: int) -> Sample:
        image, objects = self.rows[index]
        uri = f"{self.images.rstrip('/')}/{safe_name(image['file_name'])}"
        return Sample(
            key=str(image["id"]),
            image=read_image(self.files, {"uri": uri, "offset": -1, "length": -1}),
            caption="",
            spans=(),
            boxes=box_array([]),
            phrase=np.zeros(0, dtype=np.int64),
            scores=np.zeros(0, dtype=np.float32),
            pseudo=False,
            objects=tuple(objects),
        )

    def shape(self, index: int) -> tuple[int, int]:
        return int(self.rows[index][0]["height"]), int(self.rows[index][0]["width"])

    def names(self, index: int) -> frozenset[str]:
        return frozenset(category for category, _ in self.rows[index][1])

    def captions_near(self, index: int) -> list[str]:
        return []

    def order(self, counts: NDArray[np.int64], seed: int, number: int, epoch: int) -> NDArray[np.int64]:
        return shuffled(counts, seed, number, epoch)

    def vocabulary(self) -> list[str]:
        return self._names


class MdetrSet:
    """Flickr30k Entities and GoldG in MDETR's COCO-like JSON: a caption per image row, spans per box.

    Raises UserError for a file that is not there or holds something else.
    """

    pseudo = False

    def __init__(self, files: Files, annotations: str, images: str) -> None:
        data = read_json(files, annotations, GOLD)
        self.files, self.images = files, images
        self.boxes: dict[int, list[dict[str, Any]]] = {}
        with reading(annotations, "MDETR-style JSON", GOLD):
            for annotation in data["annotations"]:
                box, spans = tuple(float(value) for value in annotation["bbox"]), phrase_spans(annotation)
                if spans and box[2] > 1 and box[3] > 1:
                    own = self.boxes.setdefault(annotation["image_id"], [])
                    own.append({"bbox": box, "spans": spans})
            self.rows: list[dict[str, Any]] = [
                {**picture_of(row), "caption": row["caption"]} for row in data["images"] if row["id"] in self.boxes
            ]
        self._captions: list[str] = [row["caption"] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, index: int) -> Sample:
        row = self.rows[index]
        spans: dict[Spans, int] = {}
        boxes, phrase = [], []
        for annotation in self.boxes[row["id"]]:
            x, y, width, height = annotation["bbox"]
            boxes.append((x, y, x + width, y + height))
            phrase.append(spans.setdefault(annotation["spans"], len(spans)))
        return Sample(
            key=str(row["id"]),
            image=read_image(
                self.files,
                {"uri": f"{self.images.rstrip('/')}/{safe_name(row['file_name'])}", "offset": -1, "length": -1},
            ),
            caption=row["caption"],
            spans=tuple(spans),
            boxes=box_array(boxes),
            phrase=np.asarray(phrase, dtype=np.int64),
            scores=np.ones(len(boxes), dtype=np.float32),
            pseudo=False,
        )

    def shape(self, index: int) -> tuple[int, int]:
        return int(self.rows[index]["height"]), int(self.rows[index]["width"])

    def names(self, index: int) -> frozenset[str]:
        row = self.rows[index]
        return nouns(row["caption"], [box["spans"] for box in self.boxes[row["id"]]])

    def captions_near(self, index: int) -> list[str]:
        return self._captions

    def order(self, counts: NDArray[np.int64], seed: int, number: int, epoch: int) -> NDArray[np.int64]:
        return shuffled(counts, seed, number, epoch)

    def vocabulary(self) -> list[str]:
        return []


def picture_of(row: dict[str, Any]) -> dict[str, Any]:
    """What is needed of an image row. Raises as `reading` expects."""
    sides = {"height": int(row["height"]), "width": int(row["width"])}
    return {"id": row["id"], "file_name": str(row["file_name"]), **sides}


def phrase_spans(annotation: dict[str, Any]) -> Spans:
    """The characters of the caption that an annotation of MDETR's names."""
    return tuple((int(start), int(end)) for start, end in annotation["tokens_positive"])


def safe_name(name: str) -> str:
    """A file name from an annotation file, which must stay inside the image folder. Raises RowError."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith("/") or ":" in parts[0] or ".." in parts:
        raise RowError("image_read_refused", name)
    return name
