"""The built-in scenes as a source: images, captions and gold from split, seed and index alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stages.ingest.row import Gold, GoldBox, Row
from stages.stage import Files, Slice, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

LICENSE = "OFL-1.1"  # that of the images of the atlas, which every scene is drawn from: scenes/LICENSE-OFL.txt


class ScenesSource:
    def __init__(self, config: IngestConfig) -> None:
        self.split: str = config.split
        self.seed: int = config.seed
        self.count: int | None = config.count

    def plan(self, files: Files, part_size: int) -> list[Slice]:
        if self.count is None:
            raise UserError("ingest.count: scenes never end; say how many to draw")
        extra = {"split": self.split, "seed": self.seed}
        return [
            Slice("", start, min(start + part_size, self.count), extra=extra)
            for start in range(0, self.count, part_size)
        ]

    def rows(self, files: Files, piece: Slice) -> Iterator[Row]:
        from stages.synthetic import draw_scene

        split, seed = piece.extra["split"], piece.extra["seed"]
        for index in range(piece.start, piece.stop):
            scene = draw_scene(split, seed, index)
            boxes = [GoldBox((box.x1, box.y1, box.x2, box.y2), box.span, box.category) for box in scene.boxes]
            yield Row(
                source_id=f"scenes/{split}/{seed}/{index}",
                caption=scene.caption,
                data=scene.jpeg,
                license=LICENSE,
                gold=Gold(scene.width, scene.height, scene.spans, boxes),
            )
