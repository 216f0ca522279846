"""The rules between a run of tokens and a phrase."""

from __future__ import annotations

import numpy as np
import pytest

from stages.phrases.decode import decode
from stages.phrases.language import KNOWN_BITS
from stages.phrases.vocabulary import Vocabulary


def chunked(caption: str, labels: str) -> list[str]:
    """What becomes of a caption whose tokens have these labels, O, B or I."""
    vocabulary = Vocabulary(np.zeros(KNOWN_BITS, bool))
    tokens = vocabulary.tokens([caption])
    assert len(tokens.type) == len(labels)
    (found,) = decode(tokens, np.array(["OBI".index(label) for label in labels]), vocabulary, 1)
    return [caption[chunk.start : chunk.end] for chunk in found.chunks]


@pytest.mark.parametrize(
    ("caption", "labels", "expected"),
    [
        ("April 2017 and May 2018", "BOOBB", ["April 2017", "May 2018"]),
        ("June 2017 festival", "BBI", ["June", "2017 festival"]),
        ("people march 2018 miles", "BOBI", ["people", "2018 miles"]),
        ("5 best hikes , 12 goals", "OIIOBB", ["5 best hikes", "12 goals"]),
        ("3 - 2 wins , # 7 dogs , 9 a day", "OOOBOOOBOOBI", ["wins", "dogs", "a day"]),
        ("gate 4 people 1990 cars", "BOBOB", ["gate", "people", "cars"]),
        ("just a cat indoors today", "BIIII", ["a cat"]),
        ("the great outdoors", "BII", ["the great outdoors"]),
        ("the outdoors", "BI", ["the outdoors"]),
        ("fruit and vegetables", "BIB", ["fruit", "vegetables"]),
        ("dinner - in garden today", "BOBBB", ["dinner", "garden"]),
        ("omg Dogs !", "BIO", ["Dogs"]),
        ("one sits while others stand", "BOOBO", []),
        ("side by side in front of it", "BOBOBOB", []),
        ("a drill XD-18V2", "BII", ["a drill"]),
        ("the U.S.", "BI", ["the U.S"]),
    ],
)
def test_rules_between_labels_and_phrases(caption: str, labels: str, expected: list[str]) -> None:
    assert chunked(caption, labels) == expected
