"""Cuts captions into tokens that remember where they stand.

A caption is first split at white space into *pieces*; pieces repeat so often that each distinct one is cut by regular
expression only once (`PieceCache` in vocabulary.py). A token keeps its offsets inside the piece, a *form* that the
chunker reads (entities unescaped, NFKC, lower case, straight quotes, no zero-width characters), and a kind.
"""

from __future__ import annotations

import html
import re
import unicodedata
from enum import IntEnum
from typing import NamedTuple

from stages.phrases.lexicon import words


class Kind(IntEnum):
    """What a token is made of; only WORD and NUMBER (and a currency sign before one) can be inside a phrase's ends."""

    WORD = 0  # letters, also with hyphens, digits, inner apostrophes
    NUMBER = 1  # digits with separators, without letters
    CLITIC = 2  # 's, 're, 've, 'll, 'd, 'm
    PUNCT = 3  # one mark, a run of dots, a bracket, a quote
    SYMBOL = 4  # emoji, smileys, arrows
    CURRENCY = 5
    LINK = 6  # URL, e-mail, @handle, hashtag, file name: never part of a phrase
    FOREIGN = 7  # a word in a script that English is not written in


class Token(NamedTuple):
    start: int  # offsets in the piece
    end: int
    form: str
    kind: Kind


# Characters that look like a space or like nothing. Each is replaced by one plain space or left alone, so offsets hold.
SPACES = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b"
    "\u2028\u2029\u202f\u205f\u3000"
)
INVISIBLE = (
    "\xad\u061c\u180e\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067"
    "\u2068\u2069\ufeff\ufe0e\ufe0f"
)

_TO_SPACE = str.maketrans(dict.fromkeys(SPACES, " "))
_STRAIGHT = str.maketrans("’‘ʼ`´“”„«»‐‑", "'''''\"\"\"\"\"--")
_DROP = str.maketrans(dict.fromkeys(INVISIBLE))

ESCAPES = 4  # how often an entity may have been escaped: "&amp;amp;" twice
_AMPERSAND = f"&(?:amp;){{0,{ESCAPES - 1}}}"
_APOSTROPHE = rf"(?:['’ʼ`´]|{_AMPERSAND}(?:\#0?39|\#x27|apos|rsquo|\#8217);)"
_EXTENSIONS = frozenset(
    words(
        """jpg jpeg png gif bmp tif tiff webp heic svg psd raw cr2 nef mp4 mov avi mkv mp3 wav pdf doc docx xls xlsx
        ppt pptx zip html htm txt"""
    )
)
_DOMAINS = frozenset(
    words("""com org net edu gov info biz io uk de fr es nl eu ca au jp ru tv blog shop example test""")
)
_IN_WORD = r"[^\W_" + r"]|[\u0300-\u036f" + INVISIBLE.replace("\u200b", "") + "]"
_W = rf"(?:{_IN_WORD})"
_CLITIC = rf"{_APOSTROPHE}(?:s|re|ve|ll|d|m)(?!{_W})"
_PART = rf"(?:\d+(?:[.,:/×]\d+)+{_W}*|{_W}+(?:['’ʼ`´](?!(?:s|re|ve|ll|d|m)(?!{_W})){_W}+)*)"

_QUOTES_AND_STOPS = "\"'“”‘’«»([{<)]}>*~|.,;:!?…-"  # around a link, not part of it
_WORDY = re.compile(r"\w+")
_EMAIL = re.compile(r"[\w.+-]+@[\w.-]+")
_HANDLE = re.compile(r"@\w[\w.]*")
_HOST = re.compile(r"[\w-]+")
_CAMERA = re.compile(
    r"(?:img|dsc|dscn|dscf|dsf|pxl|mvi|gopr|dji|vid|wp|screenshot|photo|image)[_-]?\d{3,}", re.IGNORECASE
)

_EMOJI = (
    r"[\U0001F000-\U0001FAFF\u2190-\u21FF\u2300-\u23FF\u2460-\u27BF\u2900-\u297F\u2B00-\u2BFF\uFE0F\u20E3"
    r"\U000E0020-\U000E007F]"
)
_PATTERN = re.compile(
    rf"""(?P<clitic>{_CLITIC})
    | (?P<symbol>{_EMOJI}(?:{_EMOJI}|\u200d)*
        | (?<!{_W})(?:[:;=]['’]?-?[)(\]\[DPpOo3/|*]|[xX]D(?!-)|<3|{_AMPERSAND}lt;3|\^_\^|-_-)(?!{_W}))
    | (?P<entity>{_AMPERSAND}(?:\#\d{{1,7}}|\#[xX][0-9a-fA-F]{{1,6}}|[A-Za-z]{{2,8}}\d{{0,2}});)
    | (?P<abbreviation>(?:[A-Za-z]\.){{2,}}(?:[A-Za-z](?![A-Za-z]))?
        | (?<!{_W})(?:dr|mr|mrs|ms|st|jr|sr|prof|mt|ft|vs|no|gen|col|sgt|lt|rev|hon|messrs)\.(?!\.))
    | (?P<degree>[°º][CF]?(?!{_W}))
    | (?P<with>(?<![\w/])w/(?:o(?:ut)?(?!{_W}))?)
    | (?P<word>[A-Z]&[A-Z](?![a-z]) | {_PART}(?:['’]?[-‐‑]{_PART})*)
    | (?P<currency>[$€£¥₹₽₩¢]|US\$)
    | (?P<dots>\.{{2,}}|…+|-{{2,}}|[–—]+)
    | (?P<punct>.)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def plain_spaces(caption: str) -> str:
    """The caption with every kind of white space as one plain space each; same length, so offsets hold."""
    return caption.translate(_TO_SPACE)


def form_of(text: str) -> str:
    """The form the chunker reads: entities unescaped, NFKC, straight quotes, nothing invisible, lower case."""
    for _ in range(ESCAPES if "&" in text else 0):
        text = html.unescape(text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_DROP)).translate(_STRAIGHT)
    return text.lower()


def is_latin(form: str) -> bool:
    """Whether all letters of a form are of the Latin script."""
    return form.isascii() or all(
        c < "\u0250" or "\u1e00" <= c <= "\u1eff" or not c.isalpha() or "\u0300" <= c < "\u0370" for c in form
    )


def tokenize(piece: str) -> list[Token]:
    """Tokens of one piece (a run of characters without white space), in order; invisible characters may be left out."""
    left = len(piece) - len(piece.lstrip(_QUOTES_AND_STOPS))
    right = max(left, len(piece.rstrip(_QUOTES_AND_STOPS)))
    if right > left and is_link(core := piece[left:right]):
        return [*_cut(piece, 0, left), Token(left, right, form_of(core), Kind.LINK), *_cut(piece, right, len(piece))]
    return _cut(piece, 0, len(piece))


def is_link(text: str) -> bool:
    """Whether a piece is an address of something and no word: URL, e-mail, @handle, #tag, file name, a_b."""
    if text[0] in "#＃":
        tags = text[1:].replace("＃", "#").split("#")
        return all(_WORDY.fullmatch(tag) for tag in tags) and any(c.isalpha() for c in text)
    if "@" in text and (_HANDLE.fullmatch(text) or _EMAIL.fullmatch(text)):
        return True
    if text.startswith(("http://", "https://", "ftp://", "www.", "HTTP://", "HTTPS://", "WWW.")):
        return True
    if "_" in text.strip("_") and _WORDY.fullmatch(text):
        return True
    if "." in text:
        name, _, extension = text.rpartition(".")
        if extension.lower() in _EXTENSIONS and any(c.isalnum() for c in name):
            return True
        host = text.partition("/")[0].split(".")
        if len(host) > 1 and host[-1].lower() in _DOMAINS and all(_HOST.fullmatch(label) for label in host):
            return True
    return bool(_CAMERA.match(text))


def _cut(piece: str, start: int, end: int) -> list[Token]:
    tokens = []
    for match in _PATTERN.finditer(piece, start, end):
        form = form_of(match[0])
        if form:
            tokens.append(Token(*match.span(), form, _kind(str(match.lastgroup), form)))
    return tokens


def _kind(group: str, form: str) -> Kind:
    if group in ("word", "abbreviation", "with", "degree"):
        if not is_latin(form):
            return Kind.FOREIGN
        return Kind.NUMBER if not any(c.isalpha() or c in "°º" for c in form) else Kind.WORD
    if group == "punct":
        return Kind.SYMBOL if unicodedata.category(form[0]) in ("So", "Sk") else Kind.PUNCT
    if group == "entity":
        return Kind.WORD if form.isalpha() else Kind.PUNCT
    return {"clitic": Kind.CLITIC, "symbol": Kind.SYMBOL, "currency": Kind.CURRENCY, "dots": Kind.PUNCT}[group]
