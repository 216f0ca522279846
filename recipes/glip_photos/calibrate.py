"""From trained weights to those in the package: half precision, and 0.5 put where labels are right often enough.

    python -m recipes.glip_photos.calibrate runs/photos_third/student/weights.safetensors
    python -m recipes.glip_photos.calibrate WEIGHTS --captions ../shared/data/coco-mini --out FILE

The loss does not know which score a user will ask for. One number of the model shifts all scores alike, the bias of the
alignment (`bias0`, log-odds). On the dev split of the photos, labels are taken from the best score down as long as
--precision of them are right; the bias is moved until the score where that ends is 0.5. Neither the test split nor a
photo of COCO is looked at; --captions names coco-mini, the development set of COCO's figures, instead of the dev split.
The weights go to --out, what each round found to standard output.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import torch

from model.checkpoint import packaged_weights
from model.glip import Glip
from recipes.glip_photos.gold import Photo, coco_captions, flickr
from recipes.glip_photos.judge import Judged, judge
from stages.images import decode_rgb
from stages.phrases import NounPhraseExtractor

ROUNDS = 5
NEAR = 0.003  # of the score to 0.5
FLOOR = 0.1
CENTERNESS = 0.7  # about that of a label: how far a bias moves a score depends on it
CHUNK = 64  # images in memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data/photos"), help="where prepare.py has written")
    parser.add_argument("--captions", type=Path, default=None, help="a folder as coco-mini, instead of the dev split")
    parser.add_argument("--precision", type=float, default=0.81)
    parser.add_argument("--count", type=int, default=None, help="photos; else all of the dev split")
    parser.add_argument("--out", type=Path, default=packaged_weights("glip-nano").with_name("glip-photos.safetensors"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    glip = Glip.from_file("glip-photos", options.weights)
    photos = dev_photos(options.data, options.captions)[: options.count]
    for number in range(ROUNDS):
        judged = judge_dev(glip, photos, shared=options.captions is not None)
        found = border(judged, options.precision)
        if found is None:
            sys.exit(f"no score at which {options.precision} of the labels are right")
        score, recall = found
        bias = float(glip.rpn.head.bias0.detach())
        sys.stdout.write(f"bias {bias:.3f}: precision {options.precision} down to {score:.4f}, recall {recall:.4f}\n")
        sys.stdout.flush()
        if abs(score - 0.5) < NEAR or number == ROUNDS - 1:
            break
        with torch.no_grad():
            glip.rpn.head.bias0 += logit(0.5) - logit(score)
    glip.save(options.out, torch.float16)


def dev_photos(data: Path, captions: Path | None) -> list[Photo]:
    """The dev split of Flickr's photos; or captions of COCO's, with phrases that name a category."""
    if captions is not None:
        return coco_captions(captions, NounPhraseExtractor("auto"))
    return flickr(data / "entities_dev.json", data / "flickr")


def judge_dev(glip: Glip, photos: list[Photo], shared: bool = False) -> list[Judged]:
    """`shared`: as in judge.py, for phrases that name a category."""
    found: list[Judged] = []
    for at in range(0, len(photos), CHUNK):
        part = photos[at : at + CHUNK]
        images = [decode_rgb(photo.path.read_bytes(), 10_000_000) for photo in part]
        spans = [[phrase.spans for phrase in photo.phrases] for photo in part]
        found += judge(part, glip.ground(images, [photo.caption for photo in part], spans, FLOOR), shared)
    return found


def border(judged: list[Judged], precision: float) -> tuple[float, float] | None:
    """The lowest score down to which so many labels are right, and their recall of gold boxes; None without one."""
    labels = sorted(((score, right) for one in judged for score, right, _ in one.labels), reverse=True)
    right = np.cumsum([right for _, right in labels])
    (enough,) = np.nonzero(right / np.arange(1, len(labels) + 1) >= precision)
    if not len(enough):
        return None
    return labels[enough[-1]][0], right[enough[-1]] / sum(one.gold for one in judged)


def logit(score: float) -> float:
    """Log-odds of the alignment behind a score, which is the root of its product with the centerness."""
    probability = min(score**2 / CENTERNESS, 0.99)
    return math.log(probability / (1 - probability))


if __name__ == "__main__":
    main()
