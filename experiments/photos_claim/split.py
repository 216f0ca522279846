"""A tenth of the training photos with the phrase boxes that people drew, and the captions alone of the others.

    python -m experiments.photos_claim.split --gold data/photos/entities_train.json --seed 0 --out FOLDER

Writes gold.json (MDETR's form, as it came) and captions.csv, a source of pairs in which no box is left.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np

from experiments.photos_claim.cells import SHARE
from recipes.glip_photos.prepare import read, without, write_gold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gold", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    write(read(options.gold), options.seed, options.out)


def write(gold: dict[str, Any], seed: int, out: Path) -> None:
    """Both files. Photos are drawn by the seed, whole: all boxes of a photo are gold, or none."""
    names = [row["file_name"] for row in gold["images"]]
    order = np.random.default_rng(seed).permutation(len(names)).tolist()
    hidden = {names[i] for i in order[len(names) // SHARE :]}
    out.mkdir(parents=True, exist_ok=True)
    write_gold(out / "gold.json", without(gold, hidden))
    with open(out / "captions.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "caption"))
        rows.writerows((row["file_name"], row["caption"]) for row in gold["images"] if row["file_name"] in hidden)


if __name__ == "__main__":
    main()
