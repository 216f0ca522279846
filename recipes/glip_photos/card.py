"""Writes the model card of `glip-photos` from its text (card.md) and the recorded figures.

python -m recipes.glip_photos.card [--record benchmarks/results/photos_teacher.json]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from model.cards import WEIGHTS

TEXT = Path(__file__).with_name("card.md")
NAMES = {
    "glip-photos": "`glip-photos`",
    "glip-nano": "`glip-nano`",
    "glip-photos-coco": "`glip-photos-coco`, without Flickr data",
    "detector": "NanoDet-Plus, its 80 names and our synonyms",
    "detector_wordnet": "NanoDet-Plus, names by WordNet",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, default=Path("benchmarks/results/photos_teacher.json"))
    options = parser.parse_args()
    text = card_of(json.loads(options.record.read_text()))
    (WEIGHTS / "glip-photos.md").write_text(text, encoding="utf-8")


def card_of(record: dict[str, Any]) -> str:
    """The card, in Markdown."""
    models = record["models"]
    nouns = models["glip-photos"]["nouns"]
    text = TEXT.read_text(encoding="utf-8")
    for name, found in (
        ("FIGURES", f"{figures(models)}\n\n{speed(record['speed'])}"),
        ("LEAST", str(nouns["least_phrases"])),
        ("BEST", noun_list(nouns["best"])),
        ("WORST", noun_list(nouns["worst"])),
    ):
        text = text.replace(f"{{{name}}}", found)
    return text


def figures(models: dict[str, Any]) -> str:
    """A table: a row for each model and set of phrases, 95% intervals in brackets."""
    rows = ["| | phrases | R@1 | precision | recall |", "|---|---|---|---|---|"]
    kinds = {"flickr_gold": "Flickr, people's", "flickr_extracted": "Flickr, the extractor's", "coco_captions": "COCO"}
    for model, found in models.items():
        for kind, words in kinds.items():
            cells = [cell(found[kind], figure) for figure in ("recall_at_1", "precision", "recall")]
            rows.append(f"| {NAMES[model]} | {words} | {' | '.join(cells)} |")
    ap = ", ".join(f"{NAMES[model]} {average(found['coco_ap'])}" for model, found in models.items())
    return "\n".join([*rows, "", f"COCO AP with the 80 names in one prompt, on the 80 photos of coco-mini: {ap}."])


def speed(found: dict[str, Any]) -> str:
    """A sentence on the photos per second of each model."""
    measured = [model for model in NAMES if model in found]
    rates = ", ".join(f"{NAMES[model]} {found[model]['median']:.0f}" for model in measured)
    text = f"Photos per second from JPEG bytes, on one thread of an {found['processor']}, batches of 8: {rates}."
    if all("peak_mib" in found[model] for model in measured):
        peaks = (f"{NAMES[model]} {found[model]['peak_mib']}" for model in measured)
        text += f" Memory of a process at its peak, in MiB: {', '.join(peaks)}."
    return text


def cell(found: dict[str, Any], figure: str) -> str:
    if figure not in found:
        return ""
    low, high = found["interval_95"][figure]
    return f"{found[figure]:.2f} ({low:.2f}-{high:.2f})"


def average(found: dict[str, Any]) -> str:
    """AP with its interval."""
    low, high = found["interval_95"]["AP"]
    return f"{found['AP']:.1f} ({low:.1f}-{high:.1f})"


def noun_list(rows: list[dict[str, Any]]) -> str:
    """R@1 and, in brackets, the number of phrases."""
    return ", ".join(f"{row['noun']} {row['recall_at_1']:.2f} ({row['phrases']})" for row in rows)


if __name__ == "__main__":
    main()
