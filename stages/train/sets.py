"""Where samples come from: scenes and the run's own gold; `shards.py` and `annotated.py` have the other sets.

A set knows its size, gives sample i, and the shape (height, width) of sample i without decoding it.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stages.stage import Files, ImageRef, RowError, RunIO, UserError
from stages.train.order import shuffled
from stages.train.samples import Sample, box_array
from stages.train.wording import nouns

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
        """Captions that are at hand without opening a file or an image: of all samples, or of some near sample i.

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
        from stages.synthetic import draw_scene

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
        from stages.synthetic import scene_size

        width, height = scene_size(self.split, self.seed, index)
        return height, width

    def names(self, index: int) -> frozenset[str]:
        from stages.synthetic import scene_nouns

        return scene_nouns(self.split, self.seed, index)

    def captions_near(self, index: int) -> list[str]:
        """Of the next scenes, around the end."""
        from stages.synthetic import scene_caption

        following = [(index + step) % self.count for step in range(1, NEIGHBOURS + 1)]
        return [scene_caption(self.split, self.seed, other) for other in following]

    def order(self, counts: NDArray[np.int64], seed: int, number: int, epoch: int) -> NDArray[np.int64]:
        return shuffled(counts, seed, number, epoch)

    def vocabulary(self) -> list[str]:
        """The nouns that may occur in this split."""
        from stages.synthetic import NOUNS

        return sorted(noun.name for noun in NOUNS if self.split != "gold" or noun.tier != "unseen")


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
