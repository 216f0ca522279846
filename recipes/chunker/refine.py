"""Corrects silver labels by chunkers trained on them: what they are sure of against them wins, doubt is masked.

    python -m recipes.chunker.refine --silver /tmp/silver.jsonl --weights /tmp/first0.npz /tmp/first1.npz \
        --out /tmp/refined.jsonl

Networks that have also seen our own captions disagree with the parsers mostly where these are wrong in the same way
again and again ("a wasp lands"). Tokens where their mean gives another label a probability of SURE or more take that
label; where it only leans to another label they are marked as unsure: fit.py then takes its teachers' word, or none.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from stages.phrases.distilled import Distilled
from stages.phrases.vocabulary import TokenArrays

SURE = 0.85
STEP = 500


def labels_of(spans: list[list[int]], start: np.ndarray, end: np.ndarray) -> np.ndarray:
    labels = np.zeros(len(start), np.int64)
    for lo, hi in spans:
        inside = np.flatnonzero((start >= lo) & (end <= hi))
        labels[inside] = 2
        labels[inside[:1]] = 1
    return labels


def spans_of(labels: np.ndarray, start: np.ndarray, end: np.ndarray) -> list[list[int]]:
    spans: list[list[int]] = []
    for i, label in enumerate(labels):
        if label == 1 or (label == 2 and (i == 0 or labels[i - 1] == 0)):
            spans.append([int(start[i]), int(end[i])])
        elif label == 2:
            spans[-1][1] = int(end[i])
    return spans


def average(chunkers: list[Distilled], captions: list[str]) -> tuple[TokenArrays, np.ndarray]:
    """The tokens of one batch, and the chunkers' mean probabilities for each, (T, 3)."""
    found = [chunker.probabilities(captions) for chunker in chunkers]
    return found[0][0], np.mean([probabilities for _, probabilities in found], axis=0)


def refine(rows: list[dict], chunkers: list[Distilled]) -> tuple[list[dict], int, int]:
    """The rows with refined spans and unsure tokens; how many tokens changed, and how many are masked now."""
    changed = masked = 0
    for at in range(0, len(rows), STEP):
        block = rows[at : at + STEP]
        tokens, probabilities = average(chunkers, [row["caption"] for row in block])
        edges = np.searchsorted(tokens.caption, np.arange(len(block) + 1))
        for row, lo, hi in zip(block, edges[:-1], edges[1:], strict=True):
            silver = labels_of(row["spans"], tokens.start[lo:hi], tokens.end[lo:hi])
            unsure = np.array([any(a <= s < b for a, b in row["unsure"]) for s in tokens.start[lo:hi]], bool)
            own = probabilities[lo:hi].argmax(1)
            sure = probabilities[lo:hi].max(1) >= SURE
            differs = (own != silver) | unsure
            row["spans"], row["unsure"] = _merged(
                np.where(differs & sure, own, silver), differs & ~sure, tokens, lo, hi
            )
            changed += int((differs & sure).sum())
            masked += int((differs & ~sure).sum())
    return rows, changed, masked


def _merged(
    labels: np.ndarray, doubt: np.ndarray, tokens: TokenArrays, lo: int, hi: int
) -> tuple[list[list[int]], list[list[int]]]:
    start, end = tokens.start[lo:hi], tokens.end[lo:hi]
    begins_inside = labels == 2
    begins_inside[1:] &= labels[:-1] == 0
    doubt = doubt | begins_inside  # its true beginning is in doubt, so it is no beginning itself
    return spans_of(labels, start, end), [[int(start[i]), int(end[i])] for i in np.flatnonzero(doubt)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--silver", type=Path, required=True)
    parser.add_argument("--weights", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.silver.read_text(encoding="utf-8").splitlines()]
    rows, changed, masked = refine(rows, [Distilled(path) for path in args.weights])
    args.out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    sys.stderr.write(f"{changed} tokens relabelled, {masked} masked\n")


if __name__ == "__main__":
    main()
