"""Tells captions that are not English by their function words and by how few of their words English captions use."""

from __future__ import annotations

from enum import IntEnum
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from stages.phrases.lexicon import words
from stages.phrases.tokens import Kind

KNOWN_BITS = 1 << 18


class WordClass(IntEnum):
    NONE = 0  # no word: a mark, a number, a link
    UNKNOWN = 1  # a Latin word that is in no English training caption
    KNOWN = 2
    ENGLISH = 3  # an English function word
    FOREIGN = 4  # a function word of another language in Latin script
    SCRIPT = 5  # a word in another script


ENGLISH = frozenset(
    words(
        """the a an and of in on at to is are was were with for from by his her its their this that these those it he
        she they as while over into under next near behind has have be being been will you your my our we who which
        there not or but after before during through between up down out off when where all one two three him them i
        me"""
    )
)

# No English words among these, or rare ones only; names of places and dishes may hold one or two of them.
FOREIGN = frozenset(
    words(
        """der das und ein eine einer einem einen eines dem den des mit auf für von zum zur im ist sind bei nach aus
        über unter nicht sich auch wird vom beim ihre ihrer seine seinem mein meine wie oder vor einen le les une du
        et est dans avec aux ce cette ses sont sur que qui au leur nous vous mais très près chez deux trois el la
        los las una unos y en con del por para se es su sus al como más muy pero está este esta dos tres il lo gli
        di che per della delle nel nella sul sulla sono è dei degli alla dal mentre due tre um uma com os não em da
        na pelo pela ao são à às seu sua sobre dois het een van op voor naar zijn wordt deze niet ook maar bij uit
        zwei twee drei drie och på som av är ett det til og er af mot från hos över två w jest nie od przez oraz dla
        pod przy z yang dan dengan untuk ini itu dari ke ve bir ile için bu de ja és egy az nem hogy și cu din sau
        je za ali koji u của trong những và là cho"""
    )
)


def word_hash(form: str) -> int:
    return crc32(form.encode("utf-8", "surrogatepass")) % KNOWN_BITS


def word_class(form: str, kind: int, known: NDArray[np.bool_]) -> WordClass:
    """`known` (KNOWN_BITS,) is true at the hashes of words that English captions use."""
    if kind == Kind.FOREIGN:
        return WordClass.SCRIPT
    if kind != Kind.WORD:
        return WordClass.NONE
    if form in ENGLISH:
        return WordClass.ENGLISH
    if form in FOREIGN:
        return WordClass.FOREIGN
    return WordClass.KNOWN if known[word_hash(form)] else WordClass.UNKNOWN


def not_english(caption: NDArray[np.int64], classes: NDArray[np.int8], captions: int) -> NDArray[np.bool_]:
    """Which captions read as another language.

    caption (T,) and classes (T,) say of each token its caption and WordClass. A caption is foreign when it has no Latin
    word but some in another script; when it has at least two foreign function words and more of them than English ones;
    or when English has no function word in it and too few of its words are known.
    """
    width = len(WordClass)
    counts = np.bincount(caption * width + classes, minlength=captions * width).reshape(captions, width)
    unknown, known, english, foreign, script = counts[:, 1:].T
    words = unknown + known + english + foreign
    few_known = known * 10 < words * np.where(foreign > 0, 5, 3)
    return np.asarray(
        ((words == 0) & (script > 0))
        | ((foreign >= 2) & (foreign > english))
        | ((english == 0) & (words >= 3) & few_known & (foreign + script > 0))
        | ((english == 0) & (words >= 4) & (known * 5 < words))
    )
