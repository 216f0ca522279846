"""The options of the phrases stage: which phrases of a caption are carried on, and why the others are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from stages.phrases.heads import MEDIUM, head_classes
from stages.phrases.spans import NounPhrase, norm_of

if TYPE_CHECKING:
    from schemas.config import PhrasesConfig


class Dropped(NamedTuple):
    start: int
    end: int
    reason: str  # a code of schemas.reasons.DROPPED_PHRASE


class Selection:
    """Applies max_words, stop_phrases, drop_heads, max_tokens and max_phrases of the config's phrases section."""

    def __init__(self, options: PhrasesConfig) -> None:
        self._options = options
        stop = {norm_of(phrase) for phrase in options.stop_phrases if phrase != "medium"}
        self._stop = frozenset(stop | MEDIUM if "medium" in options.stop_phrases else stop)
        self._classes = frozenset(options.drop_heads)

    def apply(self, caption: str, phrases: Sequence[NounPhrase]) -> tuple[list[NounPhrase], list[Dropped]]:
        """The phrases that stay and those that go, both in text order."""
        limit = self._last_character(caption)
        kept: list[NounPhrase] = []
        dropped: list[Dropped] = []
        for phrase in phrases:
            if reason := self._reason(phrase, limit, len(kept)):
                dropped.append(Dropped(phrase.start, phrase.end, reason))
            else:
                kept.append(phrase)
        return kept, dropped

    def _reason(self, phrase: NounPhrase, limit: int, kept: int) -> str | None:
        options = self._options
        if self._stop and (phrase.norm in self._stop or phrase.head in self._stop):
            return "stop_phrase"
        if self._classes and self._classes & head_classes(phrase):
            return "head_class"
        if options.max_words is not None and len(phrase.text.split()) > options.max_words:
            return "phrase_too_long"
        if phrase.end > limit:
            return "over_token_limit"
        if options.max_phrases is not None and kept >= options.max_phrases:
            return "too_many_phrases"
        return None

    def _last_character(self, caption: str) -> int:
        """Where the text ends that max_tokens leaves of a caption ([CLS] and [SEP] count)."""
        limit = self._options.max_tokens
        if limit is None or len(caption) < limit - 1:  # a token has at least one character
            return len(caption)
        from model.prompt import encode

        offsets = encode(caption).offsets
        return len(caption) if len(offsets) <= limit else int(offsets[limit - 2][1])
