"""All of stats.json once more: plain Python over the rows of a run's Parquet files, with nothing of the audit's code.

Written for being read beside docs/audit.md, not for speed. Floats of the files are float32, compared as doubles.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from py3langid import classify

from model.cards import note

Row = dict[str, Any]
Phrase = tuple[str, int]  # key and number of a phrase
STAGES = ("ingest", "phrases", "label", "filter", "shard")
FOLDERS = ("pairs", "gold", "phrases", "labels", "pseudo", *(f"rejects/{stage}" for stage in STAGES))


class Recount:
    def __init__(self, run: Path, config: Any) -> None:
        self.config = config
        self.files = {name: sorted((run / name).glob("part-*.parquet")) for name in FOLDERS}
        self.rows = {
            name: [r for f in files for r in pq.read_table(f).to_pylist()] for name, files in self.files.items()
        }
        self.phrases: dict[Phrase, Row] = {
            (row["key"], i): phrase for row in self.rows["phrases"] for i, phrase in enumerate(row["phrases"])
        }
        self.labelled = self._boxes("labels")
        self.kept = self._boxes("pseudo")
        not_asked = {(row["key"], entry["phrase"]) for row in self.rows["labels"] for entry in row["dropped"]}
        keys = {row["key"] for row in self.rows["labels"]}
        self.asked = [phrase for phrase in self.phrases if phrase[0] in keys and phrase not in not_asked]
        self.owned = Counter((key, box["phrase"]) for key, _, box in self.kept)

    def _boxes(self, dataset: str) -> list[tuple[str, Row, Row]]:
        return [(row["key"], row, box) for row in self.rows[dataset] for box in row["boxes"]]

    def row_of(self, dataset: str, key: str) -> Row:
        return next(row for row in self.rows[dataset] if row["key"] == key)

    def stats(self) -> dict[str, Any]:
        """As stats.json, without `rank_frequency` and `warnings`; for runs whose phrases are counted exactly."""
        return {
            "version": 1,
            "corpus": self.config.corpus,
            "teacher": self.config.label.teacher,
            "teacher_note": note(self.config.label.teacher, self.config.label.weights),
            "labelled_by": {
                "name": self.config.label.teacher,
                "variant": self.config.label.variant or self.config.label.teacher,
                "weights": self.config.label.weights_sha256,
            },
            "score_floor": self.config.label.score_floor,
            "min_score": self.config.filter.min_score,
            "parts": self.parts(),
            **self.funnel(),
            "languages": self.languages(),
            "exactness": EXACT,
            **self.left_out(),
            "by_threshold": self.by_threshold(),
            "histograms": self.histograms(),
            "box_shapes": self.box_shapes(),
            "phrases_tables": self.phrases_tables(),
            "vocabularies": {"COCO": self.coco()},
            "duplicates": self.duplicates(),
            "gold": self.gold(),
            "judged": None,
        }

    def parts(self) -> dict[str, int]:
        names = ("pairs", "gold", "phrases", "labels", "pseudo")
        counted = len(self.files["pairs"])
        return {"planned": counted, "counted": counted, **{name: len(self.files[name]) for name in names}}

    def funnel(self) -> dict[str, Any]:
        with_boxes = sum(bool(row["boxes"]) for row in self.rows["pseudo"])
        latin = set(map(chr, range(0x250)))  # what the runs of these tests hold beside Cyrillic and emoji
        return {
            "pairs": len(self.rows["pairs"]),
            "pairs_with_image": sum(row["image"] is not None for row in self.rows["pairs"]),
            "pairs_with_phrases": sum(bool(row["phrases"]) for row in self.rows["phrases"]),
            "pairs_with_any_box": sum(bool(row["boxes"]) for row in self.rows["labels"]),
            "pairs_with_boxes": with_boxes,
            "phrases": len(self.phrases),
            "phrases_asked": len(self.asked),
            "phrases_grounded": len(self.owned),
            "boxes_labelled": len(self.labelled),
            "boxes": len(self.kept),
            "boxes_per_image": ratio(len(self.kept), with_boxes),
            "boxes_per_phrase": ratio(len(self.kept), len(self.owned)),
            "unique_phrases": len({self.phrases[phrase]["norm"] for phrase in self.owned}),
            "unique_heads": len({self.phrases[phrase]["head"] for phrase in self.owned}),
            "unique_phrases_in_captions": len({phrase["norm"] for phrase in self.phrases.values()}),
            "other_script": sum(any(c.isalpha() and c not in latin for c in r["caption"]) for r in self.rows["pairs"]),
        }

    def languages(self) -> list[Row]:
        """The captions of these tests' runs are each in one script."""
        counts: Counter[tuple[str, str]] = Counter()
        for row in self.rows["phrases"]:
            reasons = {entry["reason"] for entry in row["dropped"]}
            if "not_english" in reasons:
                letter = next(c for c in row["caption"] if c.isalpha())
                language = str(classify(row["caption"])[0]).replace("en", "und")
                counts[language, unicodedata.name(letter).split()[0].capitalize()] += 1
            else:
                counts[("none", "none") if "unparsable" in reasons else ("en", "Latin")] += 1
        return [
            {"language": language, "script": script, "captions": n, "share": n / len(self.rows["phrases"])}
            for (language, script), n in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
        ]

    def left_out(self) -> dict[str, Any]:
        rejected = {s: dict(Counter(row["reason"] for row in self.rows[f"rejects/{s}"])) for s in STAGES}
        dropped = {
            name: dict(Counter(entry["reason"] for row in self.rows[name] for entry in row["dropped"]))
            for name in ("phrases", "labels", "pseudo")
        }
        return {
            "rejected": {s: r for s, r in rejected.items() if r},
            "dropped": {d: r for d, r in dropped.items() if r},
        }

    def by_threshold(self) -> list[Row]:
        found = []
        for t in self.thresholds():
            above = [(key, box) for key, _, box in self.labelled if box["score"] > t]
            norms = {self.phrases[key, box["phrase"]]["norm"] for key, box in above}
            pairs = {key for key, _ in above}
            found.append({"threshold": t, "pairs": len(pairs), "boxes": len(above), "unique_phrases": len(norms)})
        return found

    def thresholds(self) -> list[float]:
        return [i / 100 for i in range(101) if i / 100 >= self.config.label.score_floor]

    def histograms(self) -> dict[str, Any]:
        shapes = [(box["x2"] - box["x1"], box["y2"] - box["y1"], row) for _, row, box in self.kept]
        sides = [max(i for i in range(20) if (i / 20) * (i / 20) <= w * h / area(row)) for w, h, row in shapes]
        ratios = [min(max(math.floor(2 * math.log2(w / h)) + 8, 0), 15) for w, h, _ in shapes]
        heat = [[0] * 24 for _ in range(24)]
        for _, row, box in self.kept:
            x, y = (box["x1"] + box["x2"]) / 2 / row["width"], (box["y1"] + box["y2"]) / 2 / row["height"]
            heat[min(int(y * 24), 23)][min(int(x * 24), 23)] += 1
        return {
            "boxes_per_image": bins([min(len(row["boxes"]), 100) for row in self.rows["pseudo"]], 101),
            "boxes_per_phrase": bins([min(self.owned[phrase], 100) for phrase in self.asked], 101),
            "phrases_per_pair": bins([min(len(row["phrases"]), 50) for row in self.rows["phrases"]], 51),
            "score_labelled": bins([score_bin(box["score"]) for *_, box in self.labelled], 100),
            "score_kept": bins([score_bin(box["score"]) for *_, box in self.kept], 100),
            "side_share": bins(sides, 20),
            "aspect": bins(ratios, 16),
            "heat": heat,
        }

    def box_shapes(self) -> dict[str, Any]:
        sizes = [(box["x2"] - box["x1"]) * (box["y2"] - box["y1"]) for *_, box in self.kept]
        whole = sum(size >= 0.95 * area(row) for size, (_, row, _) in zip(sizes, self.kept))
        near = sum(
            any(iou(box, other) >= 0.9 for other in row["boxes"] if other["phrase"] != box["phrase"])
            for _, row, box in self.kept
        )
        return {
            "small": sum(size < 32**2 for size in sizes),
            "medium": sum(32**2 <= size < 96**2 for size in sizes),
            "large": sum(size >= 96**2 for size in sizes),
            "whole_image": whole,
            "whole_image_share": ratio(whole, len(self.kept)),
            "near_duplicates": near,
            "near_duplicate_share": ratio(near, len(self.kept)),
        }

    def counts(self, name: str) -> dict[str, Counter[str]]:
        """Of each text (`name`: norm or head): mentions, asked, grounded, with several boxes, boxes."""
        text = {phrase: record[name] for phrase, record in self.phrases.items()}
        boxes: Counter[str] = Counter()
        for phrase, number in self.owned.items():
            boxes[text[phrase]] += number
        return {
            "seen": Counter(text.values()),
            "asked": Counter(text[phrase] for phrase in self.asked),
            "grounded": Counter(text[phrase] for phrase in self.owned),
            "several": Counter(text[phrase] for phrase, number in self.owned.items() if number > 1),
            "boxes": boxes,
        }

    def phrases_tables(self) -> dict[str, list[Row]]:
        counts = self.counts("norm")
        seen, asked, grounded, boxes = (counts[name] for name in ("seen", "asked", "grounded", "boxes"))
        hardly = [p for p in asked if asked[p] >= 20 and grounded[p] <= 0.1 * asked[p]]

        def table(ordered: list[str]) -> list[Row]:
            return [{"phrase": p, **{name: of[p] for name, of in counts.items()}} for p in ordered[:40]]

        return {
            "most_mentioned": table(sorted(seen, key=lambda p: (-seen[p], p))),
            "most_frequent": table(sorted(boxes, key=lambda p: (-boxes[p], p))),
            "rarest": table(sorted(boxes, key=lambda p: (boxes[p], drawn(p)))),
            "most_often_ungrounded": table(sorted(hardly, key=lambda p: (grounded[p] - asked[p], p))),
            "most_often_several": table(sorted(counts["several"], key=lambda p: (-counts["several"][p], p))),
        }

    def ranked(self, name: str) -> list[int]:
        return sorted(self.counts("norm")[name].values(), reverse=True)

    def coco(self) -> dict[str, Any]:
        from stages.audit.vocabulary import COCO, plural

        of = [self.counts("norm"), self.counts("head")]
        names = COCO.split(", ")
        seen, boxes = (
            {n: max(counts[column][text] for counts in of for text in (n, plural(n))) for n in names}
            for column in ("seen", "boxes")
        )
        return {
            "names": 80,
            "in_captions": sum(seen[n] > 0 for n in names),
            "found": sum(boxes[n] > 0 for n in names),
            "found_10": sum(boxes[n] >= 10 for n in names),
            "found_100": sum(boxes[n] >= 100 for n in names),
            "missing": sorted(n for n in names if not boxes[n]),
        }

    def duplicates(self) -> dict[str, Row]:
        pairs = self.rows["pairs"]
        images = [row for row in pairs if row["image"]]
        groups = {
            "captions": [row["caption"] for row in pairs],
            "images": [row["sha256"] for row in images],
            "image_captions": [(row["sha256"], row["caption"]) for row in images],
        }
        return {
            name: {
                "distinct": len(set(values)),
                "repeats": len(values) - len(set(values)),
                "share": ratio(len(values) - len(set(values)), len(values)),
            }
            for name, values in groups.items()
        }

    def gold(self) -> Row | None:
        labels = {row["key"]: row for row in self.rows["labels"]}
        truths = [row for row in self.rows["gold"] if row["key"] in labels]
        boxes = sum(len(row["boxes"]) for row in truths)
        if not boxes:
            return None
        judged = [entry for row in truths for entry in self.judge(labels[row["key"]], row)]
        by_threshold = []
        for t in self.thresholds():
            above = [right for score, right in judged if score > t]
            figures = {"judged": len(above), "matched": sum(above), "precision": ratio(sum(above), len(above))}
            figures["unjudged"] = 0  # of truth with spans
            by_threshold.append({"threshold": t, **figures, "recall": sum(above) / boxes})
        return {
            "pairs": len(truths),
            "boxes": boxes,
            "named": sum(map(self.named, truths)),
            "categories": 0,  # only truth without spans is named by them
            "by_threshold": by_threshold,
            "at_min_score": next((r for r in by_threshold if r["threshold"] >= self.config.filter.min_score), None),
            "calibration": calibration(judged),
        }

    def named(self, truth: Row) -> int:
        """How many true boxes of an image are of a span that a phrase names; they have spans."""
        phrases = [phrase for (key, _), phrase in self.phrases.items() if key == truth["key"]]
        spans = {named_span(phrase, truth["spans"]) for phrase in phrases}
        return sum(box["span"] in spans for box in truth["boxes"])

    def judge(self, labels: Row, truth: Row) -> list[tuple[float, bool]]:
        """(score, right) of each box of an image whose truth has spans."""
        free = set(range(len(truth["boxes"])))
        found = []
        for i in sorted(range(len(labels["boxes"])), key=lambda i: -labels["boxes"][i]["score"]):
            box = labels["boxes"][i]
            span = named_span(self.phrases[labels["key"], box["phrase"]], truth["spans"])
            fits = [(iou(box, truth["boxes"][j]), -j) for j in free if truth["boxes"][j]["span"] == span]
            best = max((fit for fit in fits if fit[0] >= 0.5), default=None)
            if best is not None:
                free.remove(-best[1])
            found.append((box["score"], best is not None))
        return found


EXACT = {
    "unique_phrases": {
        "exact": True,
        "sampled_share": 1.0,
        "relative_standard_error": 0.0,
        "relative_error_95": 0.0,
    },
    "unique_heads": {"exact": True},
    "phrase_counts": {"exact": True, "undercount_at_most": 0},
    "duplicates": {"exact": True},
}


def ratio(a: float, b: float) -> float | None:
    return a / b if b else None


def area(row: Row) -> int:
    return int(row["width"]) * int(row["height"])


def bins(values: list[int], length: int) -> list[int]:
    counts = Counter(values)
    return [counts[i] for i in range(length)]


def score_bin(score: float) -> int:
    """The i of (i/100, (i+1)/100] that holds the score; 0 joins the first."""
    return max(max((i for i in range(100) if score > i / 100), default=0), 0)


def iou(a: Row, b: Row) -> float:
    width = min(a["x2"], b["x2"]) - max(a["x1"], b["x1"])
    height = min(a["y2"], b["y2"]) - max(a["y1"], b["y1"])
    both = max(width, 0.0) * max(height, 0.0)
    return both / (sum((box["x2"] - box["x1"]) * (box["y2"] - box["y1"]) for box in (a, b)) - both) if both else 0.0


def drawn(phrase: str) -> int:
    """The number by which equally rare phrases are drawn."""
    return int.from_bytes(hashlib.blake2b(phrase.encode(), digest_size=8).digest(), "little")


def named_span(phrase: Row, spans: list[Row]) -> int:
    """The true span that a phrase overlaps most, of several the first; -2: none (-1 says that a box has no span)."""
    common = [min(phrase["end"], s["end"]) - max(phrase["start"], s["start"]) for s in spans]
    return common.index(max(common)) if common and max(common) > 0 else -2


def calibration(judged: list[tuple[float, bool]]) -> list[Row]:
    by_bin: dict[int, list[bool]] = defaultdict(list)
    for score, right in judged:
        by_bin[score_bin(score) // 5].append(right)
    return [
        {
            "above": i * 5 / 100,
            "up_to": (i * 5 + 5) / 100,
            "boxes": len(by_bin[i]),
            "matched": sum(by_bin[i]),
            "precision": sum(by_bin[i]) / len(by_bin[i]),
        }
        for i in sorted(by_bin)
    ]
