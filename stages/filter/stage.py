"""labels -> pseudo: the boxes that are sure and sound enough to train on; why each other box was left out.

The rules act in this order, and a box is recorded under the first one that takes it out:

1. image_too_small, image_aspect, caption_length: of the whole image or caption, so of all its boxes;
2. low_score: score not above filter.min_score;
3. box_too_small: after clipping to the image, a side under filter.min_box_side, or none left at all;
4. nms: within a phrase, by falling score (the lower index first among equals), a box that overlaps a kept one by IoU
   above filter.nms_iou;
5. other_phrase: the same among the boxes of different phrases, above filter.phrase_nms_iou: a region goes to the phrase
   that claims it most. Off by default, as in GLIP;
6. too_many_boxes: beyond the filter.max_boxes best of the image.

Kept boxes stay in the order of labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from stages.stage import Counts, Input, MapStage, Output, PartIO, PartResult, reject_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from schemas.config import Config, FilterConfig

RULES = (
    "",  # kept
    "image_too_small",
    "image_aspect",
    "caption_length",
    "low_score",
    "box_too_small",
    "nms",
    "other_phrase",
    "too_many_boxes",
)
CODE = {reason: code for code, reason in enumerate(RULES)}


class FilterStage(MapStage):
    name: ClassVar[str] = "filter"
    version: ClassVar[int] = 1
    inputs: ClassVar[tuple[Input, ...]] = (Input("labels"), Input("pairs", ("key", "caption")))
    outputs: ClassVar[tuple[Output, ...]] = (Output("pseudo"),)
    depends_on: ClassVar[tuple[str, ...]] = ("filter",)

    def __init__(self, config: Config) -> None:
        self.config = config.filter

    def run_part(self, io: PartIO) -> PartResult:
        labels = io.read("labels", ["key", "width", "height", "boxes"])
        lengths = caption_lengths(labels, io.read("pairs", ["key", "caption"]))
        io.write("pseudo", filter_labels(labels, lengths, self.config))
        io.write("rejects/filter", reject_rows("filter", []))
        io.progress(labels.num_rows)
        return PartResult(Counts(labels.num_rows, labels.num_rows))


def caption_lengths(labels: pa.Table, pairs: pa.Table) -> NDArray[np.int64]:
    """Characters of the caption of every row of labels. Raises ValueError where labels has a key that pairs has not."""
    import pyarrow.compute as pc

    rows = pc.index_in(labels["key"].combine_chunks(), value_set=pairs["key"].combine_chunks())
    if rows.null_count:
        raise ValueError("labels has keys that pairs does not have")
    lengths: NDArray[np.int64] = pc.utf8_length(pairs["caption"].combine_chunks().take(rows)).to_numpy().astype("int64")
    return lengths


def filter_labels(labels: pa.Table, caption_chars: NDArray[np.int64], rules: FilterConfig) -> pa.Table:
    """The pseudo table of a labels table."""
    import numpy as np

    boxes = Boxes(labels)
    code = image_rules(labels, caption_chars, rules)[boxes.row]  # (N,)
    undecided = code == 0
    code[undecided & ~(boxes.score > rules.min_score)] = CODE["low_score"]
    small = ~(np.minimum(boxes.x2 - boxes.x1, boxes.y2 - boxes.y1) >= rules.min_box_side)
    flat = ~((boxes.x2 > boxes.x1) & (boxes.y2 > boxes.y1))
    code[(code == 0) & (small | flat)] = CODE["box_too_small"]
    code[suppressed(boxes, np.flatnonzero(code == 0), rules.nms_iou)] = CODE["nms"]
    code[claimed(boxes, np.flatnonzero(code == 0), rules.phrase_nms_iou)] = CODE["other_phrase"]
    code[beyond_best(boxes, np.flatnonzero(code == 0), rules.max_boxes)] = CODE["too_many_boxes"]
    return pseudo_table(labels, boxes, code)


class Boxes:
    """The boxes of all rows of a labels table, flat, clipped to their images; (N,) arrays, coordinates in float32."""

    def __init__(self, labels: pa.Table) -> None:
        import numpy as np

        lists = labels["boxes"].combine_chunks()
        flat = lists.flatten()
        per_row = np.diff(lists.offsets.to_numpy())
        self.row: NDArray[np.int64] = np.repeat(np.arange(len(lists)), per_row)
        self.first: NDArray[np.int64] = np.concatenate([[0], np.cumsum(per_row)])
        fields = {
            name: flat.field(name).to_numpy(zero_copy_only=False)
            for name in ("phrase", "x1", "y1", "x2", "y2", "score")
        }
        self.phrase: NDArray[np.int32] = fields["phrase"]
        self.score: NDArray[np.float64] = fields["score"].astype(np.float64)  # exact: compared as stored
        width = labels["width"].to_numpy().astype(np.float32)[self.row]
        height = labels["height"].to_numpy().astype(np.float32)[self.row]
        self.x1: NDArray[np.float32] = np.clip(fields["x1"], 0, width)
        self.y1: NDArray[np.float32] = np.clip(fields["y1"], 0, height)
        self.x2: NDArray[np.float32] = np.clip(fields["x2"], 0, width)
        self.y2: NDArray[np.float32] = np.clip(fields["y2"], 0, height)


def image_rules(labels: pa.Table, caption_chars: NDArray[np.int64], rules: FilterConfig) -> NDArray[np.int8]:
    """The code of the first rule that a row as a whole fails, 0 for none: (rows,)."""
    import numpy as np

    width, height = labels["width"].to_numpy().astype(np.float64), labels["height"].to_numpy().astype(np.float64)
    short, long = np.minimum(width, height), np.maximum(width, height)
    code = np.zeros(len(width), np.int8)
    code[(caption_chars < rules.min_caption_chars) | (caption_chars > rules.max_caption_chars)] = CODE["caption_length"]
    code[long > rules.max_aspect * short] = CODE["image_aspect"]
    code[short < rules.min_image_side] = CODE["image_too_small"]
    return code


def suppressed(boxes: Boxes, among: NDArray[np.int64], nms_iou: float) -> list[int]:
    """Greedy non-maximum suppression within each phrase of each image; which of the boxes `among` it takes out."""
    if nms_iou >= 1.0:
        return []
    groups = best_first(boxes, among, [boxes.phrase, boxes.row])
    return [lost for group in groups for lost in overlapping(boxes, group, nms_iou)]


def claimed(boxes: Boxes, among: NDArray[np.int64], limit: float) -> list[int]:
    """The same between the phrases of each image: boxes that overlap a better one of another phrase."""
    if limit >= 1.0:
        return []
    groups = best_first(boxes, among, [boxes.row])
    return [lost for group in groups for lost in overlapping(boxes, group, limit, boxes.phrase)]


def best_first(
    boxes: Boxes, among: NDArray[np.int64], keys: list[NDArray[np.int32] | NDArray[np.int64]]
) -> Iterator[list[int]]:
    """Boxes that are alike in all `keys` (the last one counts first), by falling score; only where there are two."""
    import numpy as np

    order = among[np.lexsort((among, -boxes.score[among], *(key[among] for key in keys)))]
    same = np.all([np.diff(key[order]) == 0 for key in keys], axis=0)
    starts = np.flatnonzero(np.concatenate([[True], ~same]))
    ends = np.append(starts[1:], len(order))
    for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1]):
        yield order[start:end].tolist()


def overlapping(boxes: Boxes, group: list[int], limit: float, unlike: NDArray[np.int32] | None = None) -> Iterator[int]:
    """Those of the group, best first, that overlap a kept one by more than the limit; one that differs in `unlike`."""
    kept: list[tuple[int, tuple[float, float, float, float]]] = []
    for index in group:
        box = (float(boxes.x1[index]), float(boxes.y1[index]), float(boxes.x2[index]), float(boxes.y2[index]))
        if any(
            (unlike is None or unlike[other] != unlike[index]) and iou(box, better) > limit for other, better in kept
        ):
            yield index
        else:
            kept.append((index, box))


def iou(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Intersection over union of two half-open boxes x1, y1, x2, y2 of positive area."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inside = width * height
    return inside / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside)


def beyond_best(boxes: Boxes, among: NDArray[np.int64], max_boxes: int) -> NDArray[np.int64]:
    """The boxes `among` that are not of the max_boxes best of their image; the lower index wins among equals."""
    import numpy as np

    order = among[np.lexsort((among, -boxes.score[among], boxes.row[among]))]
    rows = boxes.row[order]
    rank = np.arange(len(order)) - np.searchsorted(rows, rows)
    return order[rank >= max_boxes]


def pseudo_table(labels: pa.Table, boxes: Boxes, code: NDArray[np.int8]) -> pa.Table:
    """`code` (N,): 0 for a box that is kept, else the rule that took it out."""
    import numpy as np
    import pyarrow as pa

    from schemas.records import BOX, PSEUDO

    keep, drop = np.flatnonzero(code == 0), np.flatnonzero(code)
    rows = labels.num_rows
    coordinates = (boxes.x1, boxes.y1, boxes.x2, boxes.y2, boxes.score.astype(np.float32))
    kept = pa.StructArray.from_arrays([pa.array(a[keep]) for a in (boxes.phrase, *coordinates)], fields=list(BOX))
    dropped = pa.StructArray.from_arrays(
        [
            pa.array((drop - boxes.first[boxes.row[drop]]).astype(np.int32)),
            pa.DictionaryArray.from_arrays(pa.array(code[drop]), list(RULES)).cast(pa.string()),
        ],
        names=["box", "reason"],
    )
    columns = [
        labels["key"],
        labels["width"],
        labels["height"],
        pa.ListArray.from_arrays(_offsets(boxes.row[keep], rows), kept),
        pa.ListArray.from_arrays(_offsets(boxes.row[drop], rows), dropped),
    ]
    return pa.table(columns, names=PSEUDO.names).cast(PSEUDO)


def _offsets(row_of_item: NDArray[np.int64], rows: int) -> NDArray[np.int32]:
    """List offsets (rows + 1,) of items that are sorted by row."""
    import numpy as np

    return np.searchsorted(row_of_item, np.arange(rows + 1)).astype(np.int32)
