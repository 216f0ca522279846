"""Arrow schemas of every dataset in a run folder: the only place where column names and types live.

Keys are 12 digits: part (7) + row in the part's slice (5). Boxes are absolute pixels x1, y1, x2, y2, float32,
half-open, in the EXIF-upright frame. Spans are character offsets [start, end) into the caption exactly as stored.
"""

from __future__ import annotations

import pyarrow as pa

ROWS_PER_PART_LIMIT = 100_000  # five digits of the key

IMAGE = pa.struct([("uri", pa.string()), ("offset", pa.int64()), ("length", pa.int64())])
SPAN = pa.struct([("start", pa.int32()), ("end", pa.int32())])
PHRASE = pa.struct(
    [
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("text", pa.string()),
        ("head", pa.string()),
        ("norm", pa.string()),
    ]
)
DROPPED_SPAN = pa.struct([("start", pa.int32()), ("end", pa.int32()), ("reason", pa.string())])
GOLD_BOX = pa.struct(
    [
        ("span", pa.int32()),
        ("x1", pa.float32()),
        ("y1", pa.float32()),
        ("x2", pa.float32()),
        ("y2", pa.float32()),
        ("category", pa.string()),
    ]
)
BOX = pa.struct(
    [
        ("phrase", pa.int32()),
        ("x1", pa.float32()),
        ("y1", pa.float32()),
        ("x2", pa.float32()),
        ("y2", pa.float32()),
        ("score", pa.float32()),
    ]
)

PAIRS = pa.schema(
    [
        ("key", pa.string()),
        ("source_id", pa.string()),
        ("caption", pa.string()),
        ("image", IMAGE),  # null: a caption without an image
        ("width", pa.int32()),  # decoded and upright, pixels
        ("height", pa.int32()),
        ("orientation", pa.int8()),  # EXIF value 1..8
        ("sha256", pa.string()),  # of the stored image bytes
        ("license", pa.string()),
        ("url", pa.string()),
    ]
)
GOLD = pa.schema([("key", pa.string()), ("spans", pa.list_(SPAN)), ("boxes", pa.list_(GOLD_BOX))])
PHRASES = pa.schema(
    [
        ("key", pa.string()),
        ("caption", pa.string()),
        ("phrases", pa.list_(PHRASE)),
        ("dropped", pa.list_(DROPPED_SPAN)),
    ]
)
LABELS = pa.schema(
    [
        ("key", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("boxes", pa.list_(BOX)),
        ("dropped", pa.list_(pa.struct([("phrase", pa.int32()), ("reason", pa.string())]))),
    ]
)
PSEUDO = pa.schema(
    [
        ("key", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("boxes", pa.list_(BOX)),
        ("dropped", pa.list_(pa.struct([("box", pa.int32()), ("reason", pa.string())]))),
    ]
)
CURATION = pa.schema(  # a row for each row of pairs
    [
        ("key", pa.string()),
        ("keep", pa.bool_()),
        ("reason", pa.string()),  # a code of SET_ASIDE, where it is not kept
        ("duplicate_of", pa.string()),  # a key, or BENCHMARK:ID
        ("cluster", pa.int32()),
        ("similarity", pa.float32()),
    ]
)
SCORES = pa.schema(  # a row for each row of labels, and a score for each of its boxes
    [
        ("key", pa.string()),
        ("image", pa.float32()),
        (
            "boxes",
            pa.list_(pa.struct([("score", pa.float32()), ("best_phrase", pa.int32()), ("best_score", pa.float32())])),
        ),
    ]
)
MASKS = pa.schema(  # a row for each row of pseudo, and a mask for each of its boxes
    [
        ("key", pa.string()),
        (
            "masks",
            pa.list_(
                pa.struct(
                    [("counts", pa.binary()), ("height", pa.int32()), ("width", pa.int32()), ("score", pa.float32())]
                )
            ),
        ),
    ]
)
REJECTS = pa.schema(
    [
        ("key", pa.string()),
        ("source_id", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)

DATASETS: dict[str, pa.Schema] = {
    "pairs": PAIRS,
    "gold": GOLD,
    "phrases": PHRASES,
    "labels": LABELS,
    "pseudo": PSEUDO,
    "curation": CURATION,
    "scores": SCORES,
    "masks": MASKS,
}


def schema_of(dataset: str) -> pa.Schema:
    """The schema of a dataset folder; every `rejects/<stage>` has the same one. Raises KeyError for an unknown name."""
    return REJECTS if dataset.startswith("rejects/") else DATASETS[dataset]


def make_key(part: int, row: int) -> str:
    """Part number (7 digits) and row in the part's slice (5 digits), so that keys sort in input order."""
    if not 0 <= part < 10_000_000 or not 0 <= row < ROWS_PER_PART_LIMIT:
        raise ValueError(f"no key for part {part}, row {row}: at most 7 and 5 digits")
    return f"{part:07d}{row:05d}"


def part_of(key: str) -> int:
    return int(key[:7])


def row_of(key: str) -> int:
    return int(key[7:])


def part_name(part: int, suffix: str = "parquet") -> str:
    return f"part-{part:07d}.{suffix}"
