"""Closed word classes of English that the rules of chunking name, in lower case."""

from __future__ import annotations


def words(text: str) -> list[str]:
    """The words of a list that is written as running text."""
    return text.split()


ARTICLES = frozenset(["a", "an", "the", "this", "that", "these", "those", "some"])
POSSESSIVES = frozenset(["my", "your", "his", "her", "its", "our", "their", "thy"])
DETERMINERS = ARTICLES | POSSESSIVES

# Words that may stand alone as a pronoun; a phrase that is nothing else is none.
PRONOUNS = frozenset(
    words(
        """i me you he him she it we us they them mine yours hers ours theirs myself yourself himself herself itself
        ourselves yourselves themselves oneself who whom whose what which this that these those there here something
        anything nothing everything someone somebody anyone anybody everyone everybody none nobody both all each
        either neither some any few several many much more most less least enough another other others one ones such
        same another's other's n a an the my your his her its our their half no every whoever whatever whichever
        where when why how"""
    )
)

CONJUNCTIONS = frozenset(words("and or but nor & of with w/"))
NEVER_FIRST = CONJUNCTIONS | frozenset(words("n just omg lol finally yay rt circa"))  # no phrase begins with one
FOCUS = frozenset(words("more less only even merely mostly"))  # nor with one of these before a determiner
ADVERBS = frozenset(words("indoors outdoors onstage today tomorrow yesterday tonight"))
NEVER_ALONE = ADVERBS | frozenset(words("in on at by to from for into onto as is are was were"))
NEVER_LAST = CONJUNCTIONS | ADVERBS | {"circa"}  # no phrase ends with one, but for "the outdoors"
NUMBER_MARKS = frozenset(words("x × circa ca"))  # with the number behind them no part of a phrase: "mugs x 12"

# Alone behind the last comma they say what colour the thing has: "Kettle, green". ("Orange" or "gold" may be a thing.)
COLOURS = frozenset(
    words("red blue green yellow black white brown grey gray pink purple beige teal turquoise maroon navy")
)

# Bare nouns that are part of a preposition or an adverb when one of these words stands before them.
ADVERBIAL: dict[str, frozenset[str]] = {
    "front": frozenset({"in"}),
    "top": frozenset({"on", "atop"}),
    "side": frozenset({"by", "side", "along"}),
    "spite": frozenset({"in"}),
    "lieu": frozenset({"in"}),
    "behalf": frozenset({"on"}),
    "addition": frozenset({"in"}),
    "terms": frozenset({"in"}),
    "means": frozenset({"by"}),
    "way": frozenset({"by"}),
    "order": frozenset({"in"}),
    "course": frozenset({"of"}),
    "least": frozenset({"at"}),
    "case": frozenset({"in"}),
}

MONTHS = frozenset(
    words(
        """january february march april may june july august september october november december jan feb mar apr jun
        jul aug sep sept oct nov dec"""
    )
)
