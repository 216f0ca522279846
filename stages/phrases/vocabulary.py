"""Distinct pieces of text, each cut only once, so that a batch of captions becomes arrays by table look-ups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.phrases.features import MAX_ROWS, PAD_ROW, feature_rows, is_year
from stages.phrases.language import not_english, word_class
from stages.phrases.lexicon import DETERMINERS, MONTHS
from stages.phrases.spans import is_opening, is_plain
from stages.phrases.tokens import Kind, Token, plain_spaces, tokenize

PIECES = 50_000  # distinct pieces remembered; then the memory is cleared, so that it stays the same over any corpus
CHARACTERS = 4_000_000  # and so many characters of them
BOUNDARY = 0  # id of the token type between captions
MONTH, YEAR, COUNT, NO_COUNT = 1, 2, 3, 4  # what a token type is to a number beside it (`number_role`); 0: nothing
_NO_COUNT = DETERMINERS | frozenset("#-/.–№")


class TokenArrays(NamedTuple):
    """The tokens of a batch of captions, one after the other."""

    caption: NDArray[np.int64]  # (T,) index of the caption
    start: NDArray[np.int64]  # (T,) character offsets in the caption
    end: NDArray[np.int64]
    type: NDArray[np.int32]  # (T,) ids of token types


class Column:
    """A numpy array that grows at its end."""

    def __init__(self, dtype: Any, width: tuple[int, ...] = ()) -> None:
        self._data = np.zeros((1024, *width), dtype)
        self._size = 0

    def append(self, value: Any) -> None:
        if self._size == len(self._data):
            self._data = np.concatenate([self._data, np.zeros_like(self._data)])
        self._data[self._size] = value
        self._size += 1

    def extend(self, values: NDArray[Any]) -> None:
        while self._size + len(values) > len(self._data):
            self._data = np.concatenate([self._data, np.zeros_like(self._data)])
        self._data[self._size : self._size + len(values)] = values
        self._size += len(values)

    @property
    def array(self) -> NDArray[Any]:
        return self._data[: self._size]

    def __len__(self) -> int:
        return self._size


class Vocabulary:
    """Pieces (runs of characters without white space) and token types (form, shape and kind), by small integer ids.

    `known` (KNOWN_BITS,) marks the hashes of English words. `rows` (n, MAX_ROWS) holds each token type's rows of the
    feature table, `kinds` (n,) its kind, `forms` its form. Ids are valid for one `tokens` call and until the next:
    between calls the memory may be cleared.
    """

    def __init__(self, known: NDArray[np.bool_], remember: int = PIECES) -> None:
        self._known = known
        self._remember = remember
        self.clear()

    def clear(self) -> None:
        self._pieces: dict[str, int] = {}
        self._characters = 0
        self._length, self._count, self._first = Column(np.int64), Column(np.int64), Column(np.int64)
        self._start, self._end, self._type = Column(np.int64), Column(np.int64), Column(np.int32)
        self._types: dict[tuple[str, Kind], int] = {}
        self._rows, self._kinds = Column(np.int32, (MAX_ROWS,)), Column(np.int8)
        self._classes, self._plain, self._opening = Column(np.int8), Column(np.bool_), Column(np.bool_)
        self._roles = Column(np.int8)
        self.forms: list[str] = []
        self._add_type("", Kind.PUNCT, (PAD_ROW,))

    @property
    def rows(self) -> NDArray[np.int32]:
        return self._rows.array

    @property
    def kinds(self) -> NDArray[np.int8]:
        return self._kinds.array

    @property
    def plain(self) -> NDArray[np.bool_]:
        """Of each token type, whether a chunk that ends with it needs no rule (`spans.is_plain`)."""
        return self._plain.array

    @property
    def opening(self) -> NDArray[np.bool_]:
        """Of each token type, whether a chunk may begin with it (`spans.is_opening`)."""
        return self._opening.array

    @property
    def roles(self) -> NDArray[np.int8]:
        """The `number_role` of each token type."""
        return self._roles.array

    def foreign(self, caption: NDArray[np.int64], types: NDArray[np.int32], captions: int) -> NDArray[np.bool_]:
        """Which captions read as another language (`language.not_english`)."""
        return not_english(caption, self._classes.array[types], captions)

    def tokens(self, captions: Sequence[str]) -> TokenArrays:
        """All tokens of the captions, in order."""
        if len(self._pieces) > self._remember or self._characters > CHARACTERS:
            self.clear()
        texts: list[str] = []
        counts = np.empty(len(captions), np.int64)
        for i, caption in enumerate(captions):
            pieces = plain_spaces(caption).split(" ")
            counts[i] = len(pieces)
            texts += pieces
        known = self._pieces.get
        found = [known(text, -1) for text in texts]
        if -1 in found:
            found = [self._add_piece(text) if piece < 0 else piece for text, piece in zip(texts, found, strict=True)]
        return self._expand(np.array(found, np.int64), counts)

    def _expand(self, pieces: NDArray[np.int64], counts: NDArray[np.int64]) -> TokenArrays:
        step = self._length.array[pieces] + 1  # the space behind a piece counts too
        offset = np.cumsum(step) - step
        first_piece = np.cumsum(counts) - counts
        caption = np.repeat(np.arange(len(counts)), counts)
        offset -= np.repeat(offset[first_piece], counts)
        tokens = self._count.array[pieces]
        before = np.cumsum(tokens) - tokens
        entry = np.repeat(self._first.array[pieces] - before, tokens) + np.arange(tokens.sum())
        offset = np.repeat(offset, tokens)
        return TokenArrays(
            np.repeat(caption, tokens),
            self._start.array[entry] + offset,
            self._end.array[entry] + offset,
            self._type.array[entry],
        )

    def _add_piece(self, text: str) -> int:
        if text in self._pieces:
            return self._pieces[text]
        tokens = tokenize(text)
        piece = self._pieces[text] = len(self._pieces)
        self._characters += len(text)
        self._length.append(len(text))
        self._count.append(len(tokens))
        self._first.append(len(self._type))
        for token in tokens:
            self._start.append(token.start)
            self._end.append(token.end)
            self._type.append(self._type_of(text[token.start : token.end], token))
        return piece

    def _type_of(self, text: str, token: Token) -> int:
        found = self._types.get((text, token.kind))
        if found is None:
            found = self._add_type(token.form, token.kind, feature_rows(text, token))
            self._types[text, token.kind] = found
        return found

    def _add_type(self, form: str, kind: Kind, rows: Sequence[int]) -> int:
        self._rows.append(list(rows) + [PAD_ROW] * (MAX_ROWS - len(rows)))
        self._kinds.append(int(kind))
        self._classes.append(word_class(form, kind, self._known))
        self._plain.append(is_plain(form, kind))
        self._opening.append(is_opening(form, kind))
        self._roles.append(number_role(form))
        self.forms.append(form)
        return len(self.forms) - 1


def number_role(form: str) -> int:
    """MONTH; YEAR; COUNT, a number of up to three digits; NO_COUNT, what stands beside numbers that count nothing."""
    if form in MONTHS:
        return MONTH
    if is_year(form):
        return YEAR
    if form in _NO_COUNT:
        return NO_COUNT
    return COUNT if form.isdecimal() and len(form) <= 3 else 0
