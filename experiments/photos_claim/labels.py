"""The score above which a teacher's labels are kept, and, for the record alone, how right the kept ones are.

    python -m experiments.photos_claim.labels RUN --gold data/photos/entities_train.json --labelled 0.5 --out FILE

The scores of a teacher that has seen few photos, many times each, are not calibrated, and no gold is left over to
calibrate them with. So the threshold asks for none: it is the score above which a given share of the phrases has a box,
those that the teacher is surest of. The hidden boxes are read here to say how good the labels are. Nothing that is
written with their help is read by a training.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.parquet as pq
import torch

from model.outputs import Grounding
from recipes.glip_photos.gold import Photo, flickr, renamed
from recipes.glip_photos.judge import figures, judge
from stages.phrases import NounPhrase

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run that is labelled")
    parser.add_argument("--gold", type=Path, required=True, help="of all photos, in MDETR's form")
    parser.add_argument("--labelled", type=float, required=True, help="share of the phrases that get a label")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = list(read_rows(options.run))
    threshold = threshold_of(rows, options.labelled)
    result = {
        "pairs": len(rows),
        "phrases": sum(len(row["phrases"]) for row in rows),
        "threshold": threshold,
        "phrases_labelled": sum(score > threshold for row in rows for score in best_scores(row)),
        "agreement": agreement(rows, {photo.key: photo for photo in flickr(options.gold, Path())}, threshold),
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")


def read_rows(run: Path) -> Iterator[Row]:
    """Each pair with its image's file name, its phrases and its labelled boxes."""
    tables = [pq.ParquetDataset(run / name).read().to_pylist() for name in ("pairs", "phrases", "labels")]
    pairs, phrases, labels = ({row["key"]: row for row in table} for table in tables)
    for key in sorted(labels):
        yield {
            "file": PurePosixPath(pairs[key]["image"]["uri"]).name,
            "phrases": phrases[key]["phrases"],
            "boxes": labels[key]["boxes"],
        }


def best_scores(row: Row) -> list[float]:
    """Of each phrase, that of its best box; 0 without one."""
    best = [0.0] * len(row["phrases"])
    for box in row["boxes"]:
        best[box["phrase"]] = max(best[box["phrase"]], box["score"])
    return best


def threshold_of(rows: list[Row], share: float) -> float:
    """The score above which this share of all phrases has a box; the lowest there is where too few have any."""
    scores = sorted((score for row in rows for score in best_scores(row)), reverse=True)
    return scores[min(int(share * len(scores)), len(scores) - 1)] if scores else 0.0


def agreement(rows: list[Row], gold: dict[str, Photo], threshold: float) -> dict[str, Any]:
    """Precision and recall of the kept labels against the hidden boxes of the gold phrases that theirs overlap."""
    known = [row for row in rows if row["file"] in gold]  # people gave a box to something in nearly all photos
    photos = renamed([gold[row["file"]] for row in known], [phrases_of(row) for row in known])
    found = judge(photos, [grounding(row, photo) for row, photo in zip(known, photos, strict=True)])
    return figures(found, threshold) if found else {}


def phrases_of(row: Row) -> list[NounPhrase]:
    return [NounPhrase(own["start"], own["end"], own["text"], own["head"], own["norm"]) for own in row["phrases"]]


def grounding(row: Row, photo: Photo) -> Grounding:
    """The row's boxes, best first, for the phrases of the photo instead of the row's own."""
    spans = [(own["start"], own["end"]) for own in row["phrases"]]
    number = {spans.index(own.spans[0]): i for i, own in enumerate(photo.phrases) if own.spans}
    boxes = sorted((box for box in row["boxes"] if box["phrase"] in number), key=lambda box: -box["score"])
    return Grounding(
        torch.tensor([[box[side] for side in ("x1", "y1", "x2", "y2")] for box in boxes]).reshape(-1, 4),
        torch.tensor([box["score"] for box in boxes]),
        torch.tensor([number[box["phrase"]] for box in boxes], dtype=torch.long),
    )


if __name__ == "__main__":
    main()
