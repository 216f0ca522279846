"""English or not, by the words of a caption."""

from __future__ import annotations

import numpy as np
import pytest

from stages.phrases import NounPhraseExtractor
from stages.phrases.language import ENGLISH, FOREIGN, KNOWN_BITS, WordClass, not_english, word_class, word_hash
from stages.phrases.tokens import Kind

KNOWN = np.zeros(KNOWN_BITS, bool)
KNOWN[[word_hash("dog"), word_hash("café")]] = True


@pytest.mark.parametrize(
    ("form", "kind", "expected"),
    [
        ("dog", Kind.WORD, WordClass.KNOWN),
        ("café", Kind.WORD, WordClass.KNOWN),
        ("hund", Kind.WORD, WordClass.UNKNOWN),
        ("the", Kind.WORD, WordClass.ENGLISH),
        ("und", Kind.WORD, WordClass.FOREIGN),
        ("犬", Kind.FOREIGN, WordClass.SCRIPT),
        ("dog", Kind.SYMBOL, WordClass.NONE),
        ("https://x.example/dog", Kind.LINK, WordClass.NONE),
    ],
)
def test_the_class_of_a_word(form: str, kind: Kind, expected: WordClass) -> None:
    assert word_class(form, kind, KNOWN) == expected


def test_no_word_is_a_function_word_of_both() -> None:
    assert not ENGLISH & FOREIGN
    assert all(word == word.lower() for word in ENGLISH | FOREIGN)


def test_a_lone_surrogate_has_a_hash_too() -> None:
    assert 0 <= word_hash("\ud800") < KNOWN_BITS


K, E, F, U, S, N = (
    *(WordClass.KNOWN, WordClass.ENGLISH, WordClass.FOREIGN),
    *(WordClass.UNKNOWN, WordClass.SCRIPT, WordClass.NONE),
)


def test_each_caption_is_judged_by_its_own_words() -> None:
    captions = {
        (K, E, K): False,
        (): False,
        (N, N): False,
        (S, S): True,  # nothing but another script
        (S, K, E): False,  # a word of another script in English
        (F, F, E, K): True,
        (F, E, K, K): False,  # a name
        (U, U, U, U, U, K): True,  # hardly a word is known
        (U, U, E, K): False,
    }
    caption = np.repeat(np.arange(len(captions)), [len(words) for words in captions])
    classes = np.array([word for words in captions for word in words], np.int8)
    assert not_english(caption, classes, len(captions)).tolist() == list(captions.values())


def test_no_caption_is_no_answer() -> None:
    assert not_english(np.zeros(0, np.int64), np.zeros(0, np.int8), 0).tolist() == []


NAMES = """Vincent van Gogh painting|El Niño storm hits Peru|São Paulo skyline|Notre-Dame de Paris|Museo del Prado
spaghetti alla puttanesca|Día de los Muertos altar with candles|a crème brûlée beside pain au chocolat|Sigur Rós on tour
Beyoncé and Zoë at a café|Casa Batlló in Barcelona|Plaza de la Constitución at night"""


@pytest.mark.parametrize("caption", NAMES.replace("\n", "|").split("|"))
def test_foreign_names_and_dishes_in_english_captions_are_english(caption: str) -> None:
    (parsed,) = NounPhraseExtractor().parse([caption])
    assert parsed.reason is None and parsed.phrases
