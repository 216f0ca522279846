"""Tells captions that are not English by their function words and by how few of their words English captions use."""

from __future__ import annotations

ENGLISH = frozenset(
    """the a an and of in on at to is are was were with for from by his her its their this that these those it he she they
    as while over into under next near behind has have be being been will you your my our we who which there not or but
    after before during through between up down out off when where all one two three his him them""".split()
)

# Function words of other languages in Latin script that are no English words (nor common in English names alone).
FOREIGN = frozenset(
    """der das und ein eine einer einem einen eines dem den des mit auf für von zum zur im ist sind bei nach aus über unter
    nicht sich auch wird vom beim ihre ihrer seine seinem mein meine wie oder
    le les une du et est dans avec aux ce cette ses sont sur pour que qui au leur nous vous mais très près chez
    el la los las una unos y en con del por para se es su sus al como más muy pero está este esta
    il lo gli di che per della delle nel nella sul sulla sono è con dei degli alla dal una mentre
    um uma com os não em dos da na pelo pela ao são à às seu sua
    het een van met op voor naar zijn wordt deze niet ook maar bij uit zwei twee drei deux trois dos tres due tre
    och på som av är ett den det med til og er af mot från hos över
    w na się jest nie do od przez oraz dla pod przy yang di dan dengan untuk ini itu dari ke
    ve bir ile için bu da de ja és egy az nem hogy și cu pe din la ale sau je za ali koji u s od
    và của trong một những và là cho""".split()
)


def is_english(words: int, known: int, english: int, foreign: int) -> bool:
    """Whether a caption of so many Latin words reads as English.

    `known` of the words occur in English captions, `english` are English function words, `foreign` those of others.
    """
    if words == 0:
        return False
    if foreign >= 2 and foreign > english:
        return False
    return not (english == 0 and words >= 3 and known * 10 < words * (5 if foreign else 3))
