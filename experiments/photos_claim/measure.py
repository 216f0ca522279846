"""R@1 and AP of a model on the phrases that people gave boxes in the test photos, by how often gold names their heads.

    python -m experiments.photos_claim.measure WEIGHTS --gold gold.json --test entities_test.json
        --images data/photos/flickr --out FILE

A head is the last word of a phrase, in the singular. It is *frequent* with ten or more phrases in the gold that the
teacher was trained on, *rare* with one to nine, *unseen* with none. R@1: the best-scored box of a phrase has IoU >= 0.5
with any of its gold boxes. AP: over all boxes found for the phrases of a class, best score first, the mean precision at
101 recalls; a box is right at IoU >= 0.5 to a gold box of its phrase that no better one has taken.

`draws` are the same figures for samples of the test photos, drawn with replacement, the same ones for every model: from
them follow intervals of what two models differ by.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.glip import Glip
from recipes.glip_photos.gold import Photo, flickr
from recipes.glip_photos.judge import Judged, head_of, judge
from stages.images import decode_rgb

TIERS = ("all", "frequent", "rare", "unseen")
OFTEN = 10  # phrases in gold
FLOOR = 0.05
CHUNK = 32  # images in memory
DRAWS = 400
RECALLS = np.linspace(0, 1, 101)

Numbers = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--gold", type=Path, required=True, help="of the teacher")
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=None, help="the first of the test photos")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    known = Counter(head_of(phrase.text) for photo in flickr(options.gold, Path()) for phrase in photo.phrases)
    photos = flickr(options.test, options.images)[: options.photos]
    found = ground(Glip.from_file("glip-photos", options.weights), photos)
    options.out.write_text(json.dumps(figures(found, known), indent=1) + "\n")


def ground(glip: Glip, photos: list[Photo]) -> list[Judged]:
    judged: list[Judged] = []
    for at in range(0, len(photos), CHUNK):
        part = photos[at : at + CHUNK]
        images = [decode_rgb(photo.path.read_bytes(), 10_000_000) for photo in part]
        spans = [[phrase.spans for phrase in photo.phrases] for photo in part]
        judged += judge(part, glip.ground(images, [photo.caption for photo in part], spans, FLOOR))
    return judged


def tier(head: str, known: Counter[str]) -> str:
    return "frequent" if known[head] >= OFTEN else "rare" if known[head] else "unseen"


def figures(judged: list[Judged], known: Counter[str], draws: int = DRAWS) -> dict[str, Any]:
    """{tier: {phrases, boxes, heads, recall_at_1, ap, draws}}, in percent. A tier without a phrase is left out."""
    photos = {key: i for i, key in enumerate(sorted({one.key for one in judged}))}
    rng = np.random.default_rng(0)
    weights = [np.bincount(rng.integers(len(photos), size=len(photos)), minlength=len(photos)) for _ in range(draws)]
    result = {}
    for name in TIERS:
        own = [one for one in judged if name in ("all", tier(one.head, known))]
        if own:
            table = Table.of(own, photos)
            samples = [(table.recall_at_1(weight), table.average_precision(weight)) for weight in weights]
            once = np.ones(len(photos))
            result[name] = {
                **{"phrases": len(own), "boxes": int(table.boxes.sum()), "heads": len({one.head for one in own})},
                "recall_at_1": round(table.recall_at_1(once), 2),
                "ap": round(table.average_precision(once), 2),
                "draws": {
                    kind: " ".join(f"{value:.2f}" for value in values)
                    for kind, values in zip(("recall_at_1", "ap"), zip(*samples, strict=True), strict=True)
                },
            }
    return result


class Table:
    """Phrases and their boxes as arrays, for figures of weighted photos."""

    def __init__(
        self, photo: NDArray[np.int64], grounded: Numbers, boxes: Numbers, owner: NDArray[np.int64], right: Numbers
    ) -> None:
        self.photo, self.grounded, self.boxes = photo, grounded, boxes  # (phrases,)
        self.owner, self.right = owner, right  # (found boxes,), best score first: their photo, whether they are right

    @classmethod
    def of(cls, judged: list[Judged], photos: dict[str, int]) -> Table:
        photo = np.array([photos[one.key] for one in judged])
        found = [(-score, photos[one.key], right) for one in judged for score, right, _ in one.labels]
        found.sort(key=lambda row: row[0])  # stable: ties in the order of the photos
        return cls(
            photo,
            np.array([one.grounded for one in judged], dtype=float),
            np.array([one.gold for one in judged], dtype=float),
            np.array([at for _, at, _ in found], dtype=np.int64),
            np.array([right for *_, right in found], dtype=float),
        )

    def recall_at_1(self, weight: NDArray[Any]) -> float:
        """In percent; weight (photos,) says how often each photo counts. NaN where none of them has a phrase."""
        own = weight[self.photo]
        return float(100 * (own * self.grounded).sum() / own.sum()) if own.sum() else float("nan")

    def average_precision(self, weight: NDArray[Any]) -> float:
        """In percent; NaN without a gold box."""
        total = (weight[self.photo] * self.boxes).sum()
        if not total:
            return float("nan")
        own = weight[self.owner]
        right, every = np.cumsum(own * self.right), np.cumsum(own)
        precision = np.maximum.accumulate((right / np.maximum(every, 1))[::-1])[::-1]  # at this recall or a higher one
        at = np.searchsorted(right / total, RECALLS, side="left")
        return float(100 * np.append(precision, 0.0)[np.minimum(at, len(precision))].mean())


if __name__ == "__main__":
    main()
