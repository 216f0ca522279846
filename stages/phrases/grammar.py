"""GLIP's published recipe for noun phrases: part-of-speech tags and one chunk grammar, without NLTK's parser.

The grammar is `NP: {<DT>?<JJ.*>*<NN.*>+}`: an optional determiner, adjectives, nouns. It is kept as the baseline that
ours is measured against, and as the reference backends' rule; spans come from the tokens, never from a search for text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_CODES = {"DT": "d", "JJ": "j", "JJR": "j", "JJS": "j", "NN": "n", "NNS": "n", "NNP": "n", "NNPS": "n"}
_PHRASE = re.compile("d?j*n+")


def grammar_spans(tags: Sequence[str]) -> list[tuple[int, int]]:
    """Token spans [first, end) of the phrases that the grammar finds, left to right."""
    line = "".join(_CODES.get(tag, "o") for tag in tags)
    return [match.span() for match in _PHRASE.finditer(line)]
