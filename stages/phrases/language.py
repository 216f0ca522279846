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
    ACCENTED = 2  # such a word with a letter that English hardly has
    KNOWN = 3
    ENGLISH = 4  # an English function word
    SHARED = 5  # one that is a function word of other languages, too
    PARTICLE = 6  # a function word of another language that names of English captions hold, too: "van Gogh"
    FOREIGN = 7  # another function word of another language in Latin script
    SCRIPT = 8  # a word in another script


ENGLISH = frozenset(
    words(
        """the a an and of in on at to is are was were with for from by his her its their this that these those it he
        she they as while over into under next near behind has have be being been will you your my our we who which
        there not or but after before during through between up down out off when where all one two three him them i
        me"""
    )
)
SHARED = frozenset(words("a i on to as he me we over under for is was"))
PARTICLES = frozenset(
    words("""van von der den de del des di da do dos du la le les el los las al alla au aux são y e o con""")
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
        je za ali koji u của trong những và là cho davanti vicino accanto dietro sopra sotto neben zwischen hinter
        devant derrière près chez junto delante detrás frente perto atrás naast tussen achter foran ved bak bag gjennom
        gennem siden vid genom framför bakom vedle před při ve si přes obok przed pod nad przez mellett előtt alatt
        mögött önünde yanında altında arkasında lângă lui și pe prin kanssa vieressä edessä takana seorang sebuah saat
        dekat depan một trên người với cạnh lúc"""
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
        return WordClass.SHARED if form in SHARED else WordClass.ENGLISH
    if form in PARTICLES:
        return WordClass.PARTICLE
    if form in FOREIGN:
        return WordClass.FOREIGN
    if known[word_hash(form)]:
        return WordClass.KNOWN
    return WordClass.UNKNOWN if form.isascii() else WordClass.ACCENTED


def not_english(caption: NDArray[np.int64], classes: NDArray[np.int8], captions: int) -> NDArray[np.bool_]:
    """Which captions read as another language.

    caption (T,) and classes (T,) say of each token its caption and WordClass. A caption is foreign when it has no Latin
    word but some in another script; when it has several foreign function words and more of them than English ones; or
    when few of its words are known and it has none of the function words that are English alone.
    """
    width = len(WordClass)
    counts = np.bincount(caption * width + classes, minlength=captions * width).reshape(captions, width)
    unknown, accented, known, english, shared, particles, foreign, script = counts[:, 1:].T
    content = unknown + accented + known
    functions, others = english + shared, particles + foreign
    words = content + functions + others
    few_known = known * 10 < words * np.where(foreign > 0, 5, 3)
    strange = (english == 0) & (known <= unknown + accented)
    return np.asarray(
        ((words == 0) & (script > 0))
        | ((foreign >= 1) & (others >= 2) & (others > functions))
        | ((particles >= 2) & (particles > functions) & (known * 2 < content))
        | ((functions == 0) & (words >= 3) & few_known & (foreign + script > 0))
        | ((functions == 0) & (words >= 4) & (known * 5 < words))
        | (strange & (foreign >= 1) & (others + accented >= 2) & (others + accented > shared))
        | (strange & (foreign >= 1) & (content >= 3) & (known * 5 <= content))
        | (strange & (accented >= 3) & (known * 3 <= words))
    )
