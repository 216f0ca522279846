"""What a part's shards are made of: rows of pseudo with pairs, phrases, masks and cosines; and the JSON of a sample."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from schemas.rows import Pair
from schemas.tables import MaskTable, PairTable, PhraseTable, PseudoTable, ScoreTable
from stages.masks import segmentation, select
from stages.scores import image_score, of_kept, region_score
from stages.stage import PartIO


@dataclass(frozen=True)
class ShardSample:
    """A pair with its phrases and boxes as its JSON has them."""

    pair: Pair
    phrases: list[dict[str, Any]]
    boxes: list[dict[str, Any]]
    fit: dict[str, Any] = field(default_factory=dict)  # `image_score`, where rescore has one

    @property
    def set_aside(self) -> str:
        """Why it does not become a sample; "" for one that has an image and boxes."""
        if self.pair.image is None:
            return "no_image"
        return "" if self.boxes else "no_boxes"


@dataclass(frozen=True)
class ShardSamples:
    samples: list[ShardSample]
    left_out: int  # boxes too far from their masks


def read_samples(io: PartIO, max_mask_box_gap: float = 1.0) -> ShardSamples:
    """The rows of pseudo, in order, with what pairs, phrases, masks and scores know of the same key."""
    pseudo = PseudoTable.read(io, PseudoTable.key, PseudoTable.boxes, PseudoTable.dropped)
    selected = select(pseudo, MaskTable.read(io) if io.has(MaskTable.dataset) else None, max_mask_box_gap)
    cosines = of_kept(pseudo, ScoreTable.read(io) if io.has(ScoreTable.dataset) else None).keep(selected.stays)
    pairs = PairTable.read(io).aligned(pseudo.key)
    phrases = PhraseTable.read(io, PhraseTable.key, PhraseTable.phrases).aligned(pseudo.key).phrases
    boxes = selected.boxes
    listed_phrases = [
        {"start": start, "end": end, "text": text}
        for start, end, text in zip(phrases.start.tolist(), phrases.end.tolist(), phrases.text.to_pylist(), strict=True)
    ]
    columns = (boxes.phrase.tolist(), boxes.xyxy.tolist(), boxes.score.tolist(), cosines.region.tolist())
    listed_boxes = [
        {"phrase": phrase, "bbox": corners, "score": score, **region_score(cosine), **segmentation(mask)}
        for phrase, corners, score, cosine, mask in zip(*columns, selected.masks, strict=True)
    ]
    rows = zip(pairs.records(), phrases.slices(), boxes.slices(), map(image_score, cosines.image.tolist()), strict=True)
    samples = [
        ShardSample(pair, listed_phrases[own_phrases], listed_boxes[own_boxes], fit)
        for pair, own_phrases, own_boxes, fit in rows
    ]
    return ShardSamples(samples, selected.left_out)


def sample_json(sample: ShardSample, teacher: str, upright: bool = False) -> bytes:
    """The JSON member of a sample. Numbers are those of pseudo, exactly: the float32 values, written as doubles.

    `orientation` is that of the image beside it; in upright shards, `source_orientation` is that of the source's.
    """
    pair = sample.pair
    return json_line(
        {
            "key": pair.key,
            "caption": pair.caption,
            "width": pair.width,
            "height": pair.height,
            "orientation": 1 if upright else pair.orientation,
            **({"source_orientation": pair.orientation} if upright else {}),
            "phrases": sample.phrases,
            "boxes": sample.boxes,
            **sample.fit,
            "teacher": teacher,
            "source_id": pair.source_id,
            "license": pair.license,
        }
    )


def json_line(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n").encode()
