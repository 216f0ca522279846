"""Scores of predicted spans against gold ones, by the conventions of the annotation guide.

Exact: spans are equal once edge punctuation, entities and one leading article, demonstrative, "some" or possessive
pronoun are left aside. Head: a predicted span covers exactly one gold head, one to one. Groundable: head recall over
the phrases that are marked groundable. All counts are summed over captions first (micro averages).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from unicodedata import category

import numpy as np

Span = tuple[int, int]

_ENTITY_LEFT = re.compile(r"&(?:#\w{1,7}|[A-Za-z]{2,8});")
_ENTITY_RIGHT = re.compile(r"&(?:#\w{1,7}|[A-Za-z]{2,8});$")
_LEADING = re.compile(
    r"(?:a|an|the|this|that|these|those|some|my|your|his|her|its|our|their)(?=[\s\u200b])[\s\u200b]+", re.IGNORECASE
)


@dataclass(frozen=True)
class GoldPhrase:
    start: int
    end: int
    head: Span
    groundable: bool


def trimmed(caption: str, span: Span) -> Span:
    """The span without punctuation, symbols (currency signs stay), entities and white space at its edges."""
    start, end = span
    while start < end:
        if match := _ENTITY_LEFT.match(caption, start, end):
            start = match.end()
        elif _edge(caption[start]):
            start += 1
        elif match := _ENTITY_RIGHT.search(caption, start, end):
            end = match.start()
        elif _edge(caption[end - 1]):
            end -= 1
        else:
            break
    return start, end


def compared(caption: str, span: Span) -> Span:
    """The span that exact match compares: trimmed, less one leading determiner (unless nothing else is left)."""
    start, end = trimmed(caption, span)
    match = _LEADING.match(caption, start, end)
    return trimmed(caption, (match.end(), end)) if match and match.end() < end else (start, end)


def _edge(char: str) -> bool:
    kind = category(char)
    return kind[0] in "PZC" or (kind[0] == "S" and kind != "Sc" and char not in "°º+")


@dataclass
class Scores:
    """Counts over captions, and what they come to."""

    exact: int = 0
    heads: int = 0
    predicted: int = 0
    gold: int = 0
    groundable_found: int = 0
    groundable: int = 0

    def add(self, caption: str, predicted: Sequence[Span], gold: Sequence[GoldPhrase]) -> None:
        self.predicted += len(predicted)
        self.gold += len(gold)
        self.groundable += sum(phrase.groundable for phrase in gold)
        wanted = [compared(caption, (phrase.start, phrase.end)) for phrase in gold]
        for span in predicted:
            if (found := compared(caption, span)) in wanted:
                wanted.remove(found)
                self.exact += 1
        free = list(gold)
        for start, end in predicted:
            covered = [phrase for phrase in free if start <= phrase.head[0] and phrase.head[1] <= end]
            covered_in_all = sum(start <= phrase.head[0] and phrase.head[1] <= end for phrase in gold)
            if len(covered) == 1 and covered_in_all == 1:
                free.remove(covered[0])
                self.heads += 1
                self.groundable_found += covered[0].groundable

    @property
    def exact_f1(self) -> float:
        return _f1(self.exact, self.predicted, self.gold)

    @property
    def head_f1(self) -> float:
        return _f1(self.heads, self.predicted, self.gold)

    @property
    def groundable_recall(self) -> float:
        return self.groundable_found / self.groundable if self.groundable else 1.0

    def as_dict(self) -> dict[str, float | int]:
        return {
            "exact_f1": round(self.exact_f1, 4),
            "head_f1": round(self.head_f1, 4),
            "groundable_recall": round(self.groundable_recall, 4),
            "exact_precision": round(self.exact / max(1, self.predicted), 4),
            "exact_recall": round(self.exact / max(1, self.gold), 4),
            "gold": self.gold,
            "predicted": self.predicted,
        }


def _f1(hits: int, predicted: int, gold: int) -> float:
    return 2 * hits / (predicted + gold) if predicted + gold else 1.0


def gold_phrases(row: dict) -> list[GoldPhrase]:
    """The phrases of one row of a gold file, with the span of the head inside each."""
    return [
        GoldPhrase(p["start"], p["end"], head_span(row["caption"], p["start"], p["end"], p["head"]), p["groundable"])
        for p in row["phrases"]
    ]


def head_span(caption: str, start: int, end: int, head: str) -> Span:
    """Where the head stands in its phrase: its last occurrence there as a word (or the phrase's end if altered)."""
    inside = caption[start:end].lower()
    at = inside.rfind(head.lower())
    return (start + at, start + at + len(head)) if at >= 0 else (end - 1, end)


def score_each(
    captions: Iterable[str], predicted: Iterable[Sequence[Span]], gold: Iterable[Sequence[GoldPhrase]]
) -> list[Scores]:
    """The counts of each caption."""
    found = []
    for caption, spans, phrases in zip(captions, predicted, gold, strict=True):
        found.append(Scores())
        found[-1].add(caption, spans, phrases)
    return found


def total(scores: Iterable[Scores]) -> Scores:
    return Scores(*(sum(column) for column in zip(*map(astuple, scores), strict=True)))


def score(captions: Iterable[str], predicted: Iterable[Sequence[Span]], gold: Iterable[Sequence[GoldPhrase]]) -> Scores:
    return total(score_each(captions, predicted, gold))


DRAWS = 2000  # of the bootstrap


def intervals(scores: Sequence[Scores], seed: int = 0) -> dict[str, list[float]]:
    """95% intervals of exact and head F1 by bootstrap: captions are drawn with replacement, as many as there are."""
    times = np.random.default_rng(seed).multinomial(len(scores), np.full(len(scores), 1 / len(scores)), DRAWS)
    exact, heads, predicted, gold, *_ = (times @ np.array([astuple(each) for each in scores])).T  # (DRAWS,) each
    found = {}
    for name, hits in (("exact_f1", exact), ("head_f1", heads)):
        low, high = np.percentile(2 * hits / np.maximum(1, predicted + gold), [2.5, 97.5])
        found[f"{name}_95"] = [round(float(low), 4), round(float(high), 4)]
    return found
