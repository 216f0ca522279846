"""Words of a caption exchanged for others, with the spans of its phrases moved along."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

import numpy as np

from model.prompt import VOCABULARY
from stages.train.samples import Spans, TrainingSample

WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
SHORTEST = 4  # letters of a word that takes a noun's place
SINGULARS = (("men", ("man",)), ("ies", ("y",)), ("ves", ("f", "fe")), ("s", ("",)), ("es", ("",)))  # by ending
HISSING = ("ches", "shes", "xes", "sses", "zes")  # plurals in -es
NO_PLURALS = frozenset(("lens", "news", "series", "shorts", "species"))  # though what is left without the s is a word

Change = tuple[int, int, str]  # characters [start, end) of the caption, and the words that take their place


def exchange(caption: str, spans: tuple[Spans, ...], changes: list[Change]) -> tuple[str, tuple[Spans, ...]] | None:
    """The caption with the changes made, and each span around the same words; None where a span cuts a change.

    `changes` rise and do not overlap.
    """
    edges = {edge for phrase in spans for span in phrase for edge in span}
    if any(start < edge < end for start, end, _ in changes for edge in edges):
        return None

    def moved(place: int) -> int:
        return place + sum(len(text) - (end - start) for start, end, text in changes if end <= place)

    pieces, at = [], 0
    for start, end, text in changes:
        pieces += [caption[at:start], text]
        at = end
    changed = "".join([*pieces, caption[at:]])
    return changed, tuple(tuple((moved(start), moved(end)) for start, end in phrase) for phrase in spans)


def rename(sample: TrainingSample, probability: float, rng: np.random.Generator) -> TrainingSample:
    """The sample with some of its nouns called by words drawn from the text encoder's vocabulary.

    A word that comes up once in thousands of samples tells nothing, so the model has to find its object by what else
    the phrase says and by what the other phrases leave over. That is how a noun it has never seen can be grounded.
    The noun of a phrase is taken to be its last word; all its occurrences in the caption get the same new one.
    """
    nouns = sorted({noun for phrase in sample.spans if (noun := last_word(sample.caption, phrase))})
    chosen = [noun for noun in nouns if rng.random() < probability]
    names = {noun: substitute_words()[int(rng.integers(len(substitute_words())))] for noun in chosen}
    changes = [
        (match.start(), match.end(), names[match[0].lower()])
        for match in WORD.finditer(sample.caption)
        if match[0].lower() in names
    ]
    renamed = exchange(sample.caption, sample.spans, changes)
    return sample if renamed is None else replace(sample, caption=renamed[0], spans=renamed[1])


def last_word(caption: str, phrase: Spans) -> str:
    """In lower case; empty where the phrase has no word."""
    start, end = phrase[-1]
    words = WORD.findall(caption[start:end])
    return words[-1].lower() if words else ""


def noun(caption: str, phrase: Spans) -> str:
    """What a list of categories would call it: its last word, in the singular; empty where it has no word."""
    return singular(last_word(caption, phrase))


def nouns(caption: str, phrases: Iterable[Spans]) -> frozenset[str]:
    """Of all phrases that have a word."""
    return frozenset(word for phrase in phrases if (word := noun(caption, phrase)))


@lru_cache(maxsize=1 << 16)
def singular(word: str) -> str:
    """The singular of an English noun in lower case, by its ending: the first form that the text encoder knows.

    A word that is known while none of its singulars is, stays ("headphones"), and so do irregular plurals but those in
    -men. What is not known at all is taken for a regular plural if it ends like one.
    """
    if not word.endswith(("s", "men")) or word.endswith(("ss", "us", "'s", "\u2019s")) or word in NO_PLURALS:
        return word
    candidates = [word[: -len(end)] + other for end, others in SINGULARS if word.endswith(end) for other in others]
    for candidate in candidates:
        if len(candidate) > 2 and candidate in vocabulary():
            return candidate
    if word in vocabulary() or len(word) < 4:
        return word
    return word[:-2] if word.endswith(HISSING) else word[:-1] if word.endswith("ves") else candidates[0]


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, None]:
    """Of the text encoder, in its order: words, and pieces that begin with ##."""
    return dict.fromkeys(VOCABULARY.read_text(encoding="utf-8").split("\n"))


@lru_cache(maxsize=1)
def substitute_words() -> tuple[str, ...]:
    """Whole words of the vocabulary: some 20,000."""
    return tuple(word for word in vocabulary() if word.isascii() and word.isalpha() and len(word) >= SHORTEST)
