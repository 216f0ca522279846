"""Names the script and language of captions: a team sees what the extractor, which reads English, leaves out."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable

ENGLISH, UNDETERMINED, NO_WORDS = "en", "und", "none"
LATIN = "Latin"
LONGEST = 1000  # characters that are enough to tell
_SCRIPTS = {"CJK": "Han", "HIRAGANA": "Japanese", "KATAKANA": "Japanese"}  # others go by their name in Unicode
_KANA = 0.1  # share of kana among the letters from which a text is Japanese

Languages = dict[str, dict[str, int]]  # {script: {language: captions}}


def count_languages(captions: int, not_english: Iterable[str], without_words: int) -> Languages:
    """Captions by script and by language (ISO 639-1): how many there are, those that are not English, how many have no
    word. The others are English and cost no look.
    """
    others = Counter((script_of(caption), language_of(caption)) for caption in not_english)
    others[NO_WORDS, NO_WORDS] = without_words
    counts = others + Counter({(LATIN, ENGLISH): captions - others.total()})  # without zeros
    found: Languages = {}
    for (script, language), count in sorted(counts.items()):
        found.setdefault(script, {})[language] = count
    return found


def script_of(text: str) -> str:
    """The script of most letters: "Latin", "Han", "Cyrillic"; "Japanese" from some kana on; "none" without a letter."""
    names = Counter(unicodedata.name(char, "?").partition(" ")[0] for char in text[:LONGEST] if char.isalpha())
    counts: Counter[str] = Counter()
    for name, count in names.items():
        counts[_SCRIPTS.get(name, name.capitalize())] += count
    if not counts:
        return NO_WORDS
    if counts["Japanese"] >= _KANA * counts.total():
        return "Japanese"
    return max(sorted(counts), key=counts.__getitem__)


def language_of(text: str) -> str:
    """What py3langid takes a text for; `und` where that is English, which the extractor has ruled out, or where the
    package is not installed."""
    try:
        from py3langid import classify
    except ImportError:
        return UNDETERMINED
    language = str(classify(text[:LONGEST])[0])
    return UNDETERMINED if language == ENGLISH else language
