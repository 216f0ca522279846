"""Noun phrases of captions: the extractor, and the stage that writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from stages.chunking.distilled import Distilled
from stages.chunking.spans import NounPhrase, noun_phrase
from stages.stage import Counts, Input, PartIO, PartResult

__all__ = ["NounPhrase", "NounPhraseExtractor", "PhrasesStage"]


class NounPhraseExtractor:
    """Base noun phrases with exact character offsets."""

    def __init__(self, backend: str = "auto") -> None:
        self._backend = Distilled()

    def extract(self, captions: Sequence[str]) -> list[list[NounPhrase]]:
        """All base noun phrases of each caption, in text order; they never overlap, and `caption[start:end] == text`."""
        return [
            [noun_phrase(caption, chunk) for chunk in chunks]
            for caption, chunks in zip(captions, self._backend.chunk(captions), strict=True)
        ]


class PhrasesStage:
    """pairs -> phrases: every pair keeps its row, also one without a phrase."""

    name: ClassVar[str] = "phrases"
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["map"]] = "map"
    inputs: ClassVar[tuple[Input, ...]] = (Input("pairs", ("key", "caption")),)
    outputs: ClassVar[tuple[str, ...]] = ("phrases",)

    def __init__(self, config: Any) -> None:
        self._options = config.phrases
        self._extractor = NounPhraseExtractor(config.phrases.backend)

    @classmethod
    def resolve(cls, config: Any) -> dict[str, Any]:
        return {"backend": "distilled"}

    @classmethod
    def settings(cls, config: Any) -> dict[str, Any]:
        return {"backend": config.phrases.backend, "weights": Distilled().fingerprint}

    def run_part(self, io: PartIO) -> PartResult:
        import pyarrow as pa

        from schemas.records import PHRASES

        pairs = io.read("pairs", ["key", "caption"])
        captions = pairs["caption"].to_pylist()
        phrases = [[phrase._asdict() for phrase in found] for found in self._extractor.extract(captions)]
        columns = [pairs["key"], pairs["caption"], phrases, [[] for _ in captions]]
        io.write("phrases", pa.table(columns, schema=PHRASES))
        io.progress(len(captions))
        return PartResult(Counts(len(captions), len(captions)))
