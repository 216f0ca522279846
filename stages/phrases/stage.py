"""The stage that writes the noun phrases of every caption."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from schemas.tables import PairTable, PhraseTable
from stages.phrases.extractor import NounPhraseExtractor
from stages.phrases.selection import Dropped, Selection
from stages.phrases.spans import NounPhrase
from stages.stage import Counts, Input, PartIO, PartResult

STEP = 2000  # captions between two signs of life


class PhrasesStage:
    """pairs -> phrases. Every pair keeps its row: one without a phrase has an empty list, and a caption that could not
    be chunked is in `dropped` as a whole, with the reason."""

    name: ClassVar[str] = "phrases"
    version: ClassVar[int] = 2
    kind: ClassVar[Literal["map"]] = "map"
    inputs: ClassVar[tuple[Input, ...]] = (Input("pairs", ("key", "caption")),)
    outputs: ClassVar[tuple[str, ...]] = ("phrases",)

    def __init__(self, config: Any) -> None:
        self._extractor = NounPhraseExtractor(config.phrases.backend)
        self._selection = Selection(config.phrases)

    @classmethod
    def resolve(cls, config: Any) -> dict[str, Any]:
        extractor = NounPhraseExtractor(config.phrases.backend)
        return {"backend": extractor.backend, "backend_version": extractor.version}

    @classmethod
    def settings(cls, config: Any) -> dict[str, Any]:
        options = config.phrases
        extractor = NounPhraseExtractor(options.backend)
        return {
            "backend": extractor.backend,
            "backend_version": extractor.version,
            "max_phrases": options.max_phrases,
            "max_words": options.max_words,
            "stop_phrases": sorted(options.stop_phrases),
            "drop_heads": sorted(options.drop_heads),
            "max_tokens": options.max_tokens,
        }

    def run_part(self, io: PartIO) -> PartResult:
        pairs = PairTable.read(io, PairTable.key, PairTable.caption)
        captions = pairs.caption.to_pylist()
        kept: list[list[NounPhrase]] = []
        dropped: list[list[Dropped]] = []
        for caption, parsed in zip(captions, self._extractor.parse(captions), strict=True):
            stay, go = self._selection.apply(caption, parsed.phrases)
            if parsed.reason is not None:
                go = [Dropped(0, len(caption), parsed.reason)]
            kept.append(stay)
            dropped.append(go)
            if len(kept) % STEP == 0:
                io.progress(STEP)
        io.progress(len(kept) % STEP)
        table = PhraseTable.of_columns(key=pairs.key, caption=pairs.caption, phrases=kept, dropped=dropped)
        io.write(PhraseTable.dataset, table.table)
        return PartResult(Counts(len(captions), len(kept)))
