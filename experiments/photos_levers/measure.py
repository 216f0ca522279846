"""Figures of a model on the dev split: R@1 and AP of phrases, recall at a precision, AP of COCO's 80 names.

    python -m experiments.photos_levers.measure WEIGHTS --data data/photos --coco ../shared/data/coco-mini --out FILE

Models that are trained for a short time differ in their scores as much as in their boxes, so no figure is at a score:
R@1 asks for a phrase's best box; AP and the recall at which four labels in five are right go over all scores.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import torch

from benchmarks.photos_ap import average_precision
from experiments.photos_claim.measure import figures
from model.glip import Glip
from recipes.glip_photos.calibrate import FLOOR, border, dev_photos, judge_dev

PRECISION = 0.80


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="where recipes/glip_photos/prepare.py has written")
    parser.add_argument("--coco", type=Path, required=True, help="a folder as coco-mini")
    parser.add_argument("--photos", type=int, default=None, help="the first of the dev split")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    glip = Glip.from_file("glip-photos", options.weights)
    judged = judge_dev(glip, dev_photos(options.data, None)[: options.photos])
    _, recall = border(judged, PRECISION) or (None, 0.0)
    result = {
        "tiers": {"all": figures(judged, Counter())["all"]},
        "recall_at_precision_80": round(100 * recall, 2),
        "coco_ap": average_precision(lambda image, names: glip.detect([image], names, FLOOR)[0], options.coco),
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
