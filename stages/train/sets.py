"""Where samples come from: scenes and the run's own gold; `shards.py` and `annotated.py` have the other sets.

A set knows its size, gives sample i, and the shape (height, width) of sample i without decoding it; many threads may
ask it at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.rows import GoldRow, Pair
from schemas.tables import GoldTable, PairTable
from stages.geometry import box_array
from stages.stage import Files, ImageRef, RowError, RunIO, UserError
from stages.train.order import shuffled
from stages.train.samples import TrainingSample
from stages.train.wording import nouns

NEIGHBOURS = 4  # scenes whose captions are written for one that wants others beside its own


class SampleSet(Protocol):
    pseudo: bool
    unused: Counter[str]  # true boxes of the source that are in no sample, by reason code

    def __len__(self) -> int: ...

    def sample(self, index: int) -> TrainingSample: ...

    def shape(self, index: int) -> tuple[int, int]:
        """(height, width), upright."""
        ...

    def names(self, index: int) -> frozenset[str]:
        """What sample i shows: its categories, or the nouns of its phrases that have boxes; without its pixels."""
        ...

    def captions_near(self, index: int) -> Sequence[str]:
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
        self.unused = Counter[str]()

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int) -> TrainingSample:
        from stages.synthetic import draw_scene

        scene = draw_scene(self.split, self.seed, index)
        return TrainingSample(
            key=f"{self.split}-{self.seed}-{index}",
            image=scene.jpeg,
            caption=scene.caption,
            spans=tuple(((start, end),) for start, end in scene.spans),
            boxes=box_array([box.corners for box in scene.boxes]),
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
        self.unused = Counter[str]()
        self.rows: list[tuple[Pair, GoldRow]] = []
        for part in io.parts():
            if not io.has_part(GoldTable.dataset, part):
                raise UserError("train.gold: the run has no gold/; its source has no true boxes")
            gold = GoldTable.read_part(io, part)
            pairs = PairTable.read_part(io, part).aligned(gold.key)
            self.rows += zip(pairs.records(), gold.records(), strict=True)
        self._captions = [pair.caption for pair, _ in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, index: int) -> TrainingSample:
        pair, gold = self.rows[index]
        if pair.image is None:
            raise RowError("missing_image", f"{pair.key}: a caption without an image")
        return TrainingSample(
            key=pair.key,
            image=read_image(self.io, pair.image),
            caption=pair.caption,
            spans=tuple(((span.start, span.end),) for span in gold.spans),
            boxes=box_array([box.corners for box in gold.boxes]),
            phrase=np.asarray([box.span for box in gold.boxes], dtype=np.int64),
            scores=np.ones(len(gold.boxes), dtype=np.float32),
            pseudo=False,
            objects=tuple((box.category, box.corners) for box in gold.boxes if box.category),
        ).keep(np.asarray([box.span >= 0 for box in gold.boxes], dtype=bool))

    def shape(self, index: int) -> tuple[int, int]:
        pair, _ = self.rows[index]
        return pair.height or 1, pair.width or 1  # without an image, the sample is skipped

    def names(self, index: int) -> frozenset[str]:
        pair, gold = self.rows[index]
        spans = [gold.spans[box.span] for box in gold.boxes if not box.category and box.span >= 0]
        unnamed = nouns(pair.caption, [((span.start, span.end),) for span in spans])
        return unnamed.union(box.category for box in gold.boxes if box.category)

    def captions_near(self, index: int) -> list[str]:
        return self._captions

    def order(self, counts: NDArray[np.int64], seed: int, number: int, epoch: int) -> NDArray[np.int64]:
        return shuffled(counts, seed, number, epoch)

    def vocabulary(self) -> list[str]:
        return sorted({box.category for _, gold in self.rows for box in gold.boxes if box.category})


def read_image(files: Files, image: ImageRef) -> bytes:
    """Raises RowError where the image is not there."""
    data = next(iter(files.image_bytes([image])))
    if isinstance(data, RowError):
        raise data
    return data
