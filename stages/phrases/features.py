"""What the chunker knows about one token: rows of its feature table, from the token's own characters alone.

Words are hashed (CRC-32, the same everywhere), so there is no vocabulary file and no word is unknown: rare ones are
read by their endings and beginnings. Letter case enters through one shape feature only, so that ALL CAPS and Title Case
captions share everything else with lower case.
"""

from __future__ import annotations

import re
from zlib import crc32

from stages.phrases.tokens import Kind, Token

WORD_ROWS = 65536
AFFIX_ROWS = 8192
SHAPE_ROWS = 128
ROWS = WORD_ROWS + AFFIX_ROWS + SHAPE_ROWS + 1
PAD_ROW = ROWS - 1  # always zero
MAX_ROWS = 9  # per token, at most

_DIGIT = re.compile(r"\d")
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")


def feature_rows(text: str, token: Token) -> list[int]:
    """Rows of the feature table for a token whose characters in the caption are `text`; the first is the word's own."""
    form = "<symbol>" if token.kind == Kind.SYMBOL else _DIGIT.sub("0", token.form)
    rows = [_word(form), _shape(text, token)]
    if token.kind != Kind.WORD:
        return rows
    last = form.rpartition("-")[2] or form
    if last != form:
        rows.append(_word("-" + last))
    rows += [_affix("$" + last[-n:]) for n in (2, 3, 4) if len(last) >= n]
    rows += [_affix("^" + form[:n]) for n in (2, 3, 4) if len(form) >= n]
    return rows


def is_year(form: str) -> bool:
    """Whether a form reads as a year from 1500 to 2099."""
    return bool(_YEAR.fullmatch(form))


def _word(form: str) -> int:
    return crc32(form.encode("utf-8", "surrogatepass")) % WORD_ROWS


def _affix(mark: str) -> int:
    return WORD_ROWS + crc32(mark.encode("utf-8", "surrogatepass")) % AFFIX_ROWS


def _shape(text: str, token: Token) -> int:
    """Kind (3 bits), letter case (2 bits), and for words and numbers what digits they hold (2 bits)."""
    case = 0 if text.islower() or not text[:1].isupper() else 1 if len(text) == 1 else 2 if text[1:].islower() else 3
    digits = 0
    if token.kind in (Kind.WORD, Kind.NUMBER) and _DIGIT.search(token.form):
        digits = 1 if is_year(token.form) else 2 if token.form[0].isdigit() else 3
    return WORD_ROWS + AFFIX_ROWS + (int(token.kind) << 4 | case << 2 | digits)
