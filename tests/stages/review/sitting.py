"""A run with judgements, and what they should come to, counted in plain Python."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from stages.review.draw import Unit, draw
from stages.review.session import Session

EDGES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01)


def appending(root: Path) -> Any:
    """A journal on the disk, for tests of what is written to it."""

    def append(path: str, line: bytes) -> None:
        (root / path).parent.mkdir(exist_ok=True)
        with open(root / path, "ab") as file:
            file.write(line)

    return append


def session_of(run: Any, boxes: int = 60, phrases: int = 12, seed: int = 0) -> Session:
    io = run.all_parts()
    return Session(io, run.config, *draw(io, run.config, boxes, phrases, seed), appending(run.root))


def lines(run: Any, reviewer: str) -> list[dict[str, Any]]:
    text = (run.root / "reviews" / f"{reviewer}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def surviving(run: Any, labels: str = "labels") -> list[tuple[str, tuple[int, int], tuple[float, ...], float, str]]:
    """(key, span, corners, score, norm) of the boxes that per-phrase NMS at 0.6 leaves, going down the scores; the
    other rules of the filter touch nothing here but boxes of a side under two pixels."""
    phrases = {row["key"]: row["phrases"] for row in run.rows["phrases"]}
    found = []
    for row in run.rows[labels]:
        kept: list[dict[str, Any]] = []
        for box in sorted(row["boxes"], key=lambda box: -box["score"]):
            if min(box["x2"] - box["x1"], box["y2"] - box["y1"]) < 2:
                continue
            if all(box["phrase"] != other["phrase"] or overlap(box, other) <= 0.6 for other in kept):
                kept.append(box)
        for box in kept:
            phrase = phrases[row["key"]][box["phrase"]]
            corners = tuple(box[side] for side in ("x1", "y1", "x2", "y2"))
            span = (phrase["start"], phrase["end"])
            found.append((row["key"], span, corners, box["score"], phrase["norm"]))
    return found


def overlap(a: dict[str, float], b: dict[str, float]) -> float:
    width = max(min(a["x2"], b["x2"]) - max(a["x1"], b["x1"]), 0)
    height = max(min(a["y2"], b["y2"]) - max(a["y1"], b["y1"]), 0)
    both = width * height
    return both / (sum((x["x2"] - x["x1"]) * (x["y2"] - x["y1"]) for x in (a, b)) - both)


def common_norms(run: Any) -> set[str]:
    """The most frequent of the phrases asked for that together make up half of all mentions, ties included."""
    dropped = {(row["key"], entry["phrase"]) for row in run.rows["labels"] for entry in row["dropped"]}
    counts = Counter(
        phrase["norm"]
        for row in run.rows["phrases"]
        for i, phrase in enumerate(row["phrases"])
        if (row["key"], i) not in dropped
    )
    reached, cut = 0, 0
    for _, count in counts.most_common():
        reached, cut = reached + count, count
        if reached >= counts.total() / 2:
            break
    return {norm for norm, count in counts.items() if count >= cut}


def precision(
    run: Any,
    right: dict[tuple[str, tuple[int, int], tuple[float, ...]], float],
    threshold: float,
    labels: str = "labels",
) -> float:
    """Weighted back to the run by band and frequency; every band has a judgement above the threshold."""
    common = common_norms(run)
    sizes: Counter[tuple[bool, int]] = Counter()
    judged: defaultdict[tuple[bool, int], list[float]] = defaultdict(list)
    for key, span, corners, score, norm in surviving(run, labels):
        if score > threshold:
            stratum = norm in common, next(i for i in range(8) if EDGES[i] < score <= EDGES[i + 1])
            sizes[stratum] += 1
            if (key, span, corners) in right:
                judged[stratum].append(right[key, span, corners])
    assert set(judged) == set(sizes), "choose a threshold above which every stratum is judged"
    return sum(size * sum(judged[s]) / len(judged[s]) for s, size in sizes.items()) / sizes.total()


def truth(run: Any, unit: Unit) -> bool:
    """Whether a box is right: it overlaps the thing that its words say, by half."""
    gold = next(row for row in run.rows["gold"] if row["key"] == unit.key)
    assert unit.corners is not None
    box = dict(zip(("x1", "y1", "x2", "y2"), unit.corners))
    spans = [(span["start"], span["end"]) for span in gold["spans"]]
    return any(spans[thing["span"]] == unit.span and overlap(box, thing) >= 0.5 for thing in gold["boxes"])
