"""Reference backend: NLTK's tagger and GLIP's chunk grammar. Needs NLTK and its tagger's data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from stages.phrases.decode import Chunked
from stages.phrases.distilled import batches
from stages.phrases.grammar import grammar_spans
from stages.phrases.reference import CharSpans, Finisher, content_hash
from stages.stage import UserError

TAGGER = "averaged_perceptron_tagger_eng"
INSTALL = (
    "phrases.backend nltk needs NLTK and its tagger data: pip install nltk, then "
    f"python -m nltk.downloader {TAGGER} (docs/phrases.md)"
)


class NltkBackend:
    """The published recipe with offsets kept, finished by our rules."""

    name = "nltk"

    @cached_property
    def _tools(self) -> tuple[Any, Any]:
        """NLTK's word tokenizer and tagger."""
        try:
            from nltk.tag.perceptron import PerceptronTagger
            from nltk.tokenize import NLTKWordTokenizer

            return NLTKWordTokenizer(), PerceptronTagger()
        except (ImportError, LookupError):
            raise UserError(INSTALL) from None

    @cached_property
    def version(self) -> str:
        """Package, and the sha256 of the tagger's files."""
        from importlib.metadata import version

        self._tools  # noqa: B018  (says what is missing)
        import nltk

        data = Path(str(nltk.data.find(f"taggers/{TAGGER}")))
        return f"nltk {version('nltk')}, {TAGGER} {content_hash(data)}"

    @cached_property
    def _finisher(self) -> Finisher:
        return Finisher()

    def chunk(self, captions: Sequence[str]) -> Iterator[Chunked]:
        for batch in batches(captions, 100_000):
            yield from self._finisher.finish(batch, [self._spans(caption) for caption in batch])

    def _spans(self, caption: str) -> CharSpans:
        tokenizer, tagger = self._tools
        tokens = _offsets(caption, tokenizer)
        tags = [tag for _, tag in tagger.tag([caption[a:b] for a, b in tokens])]
        return [(tokens[a][0], tokens[b - 1][1]) for a, b in grammar_spans(tags)]


def _offsets(caption: str, tokenizer: Any) -> CharSpans:
    try:
        return list(tokenizer.span_tokenize(caption))
    except ValueError:  # its own quote marks can fail to align; white space always does
        import re

        return [match.span() for match in re.finditer(r"\S+", caption)]
