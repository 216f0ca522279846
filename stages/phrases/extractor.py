"""The noun phrases of captions, by one of several backends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stages.phrases.backends import open_backend
from stages.phrases.spans import NounPhrase, noun_phrase

__all__ = ["NounPhrase", "NounPhraseExtractor", "Parsed"]


class Parsed(NamedTuple):
    """The phrases of one caption; `reason` is a code of schemas.reasons where the caption could not be chunked."""

    phrases: list[NounPhrase]
    reason: str | None


class NounPhraseExtractor:
    """Base noun phrases with exact character offsets.

    `backend` is distilled, spacy, nltk or auto (the default one, distilled). Raises UserError for another name, and at
    the first use where a backend's model or data is missing, with what to install; nothing is ever downloaded.
    """

    def __init__(self, backend: str = "auto") -> None:
        self._backend = open_backend(backend)

    @property
    def backend(self) -> str:
        """The name that `auto` came to."""
        return self._backend.name

    @property
    def version(self) -> str:
        """Model, version and hash that the result depends on."""
        return self._backend.version

    def extract(self, captions: Sequence[str]) -> list[list[NounPhrase]]:
        """All base noun phrases of each caption, in text order and apart; `caption[start:end] == text`."""
        return [parsed.phrases for parsed in self.parse(captions)]

    def parse(self, captions: Sequence[str]) -> Iterator[Parsed]:
        """As `extract`, one caption at a time, with the reason where a caption could not be chunked."""
        for caption, (chunks, reason) in zip(captions, self._backend.chunk(captions), strict=True):
            yield Parsed([noun_phrase(caption, chunk) for chunk in chunks], reason)
