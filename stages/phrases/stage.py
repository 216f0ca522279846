"""The stage that writes the noun phrases of every caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from schemas.rows import Span
from schemas.tables import PairTable, PhraseTable
from stages.phrases.expressions import expressions
from stages.phrases.extractor import NounPhraseExtractor
from stages.phrases.identify import count_languages
from stages.phrases.selection import Dropped, Selection
from stages.phrases.spans import NounPhrase
from stages.stage import Counts, Input, MapStage, Needs, Output, PartIO, PartResult

if TYPE_CHECKING:
    from schemas.config import Config

STEP = 2000  # captions between two signs of life


class PhrasesStage(MapStage):
    """pairs -> phrases. Every pair keeps its row: one without a phrase has an empty list, and a caption that could not
    be chunked is in `dropped` as a whole, with the reason. What a curation does not keep is set aside. The commit's
    notes count captions by script and language. With `phrases.expressions`, each phrase has its expression beside
    it."""

    name: ClassVar[str] = "phrases"
    version: ClassVar[int] = 3
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("pairs", ("key", "caption")),
        Input("curation", ("key", "keep", "reason"), need="if_enabled", keep=True),
    )
    outputs: ClassVar[tuple[Output, ...]] = (Output("phrases"),)
    depends_on: ClassVar[tuple[str, ...]] = ("phrases",)

    def __init__(self, config: Config) -> None:
        self._extractor = NounPhraseExtractor(config.phrases.backend)
        self._selection = Selection(config.phrases)
        self._expressions = config.phrases.expressions

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        extractor = NounPhraseExtractor(config.phrases.backend)
        return {"backend": extractor.backend, "backend_version": extractor.version}

    @classmethod
    def digests(cls, config: Config) -> dict[str, Any]:
        """The backend that works here, whatever the config was resolved to elsewhere."""
        return cls.resolve(config)

    @classmethod
    def needs(cls, config: Config) -> Needs:
        return Needs(actor=True)  # the extractor stays loaded

    def run_part(self, io: PartIO) -> PartResult:
        pairs = PairTable.read(io, PairTable.key, PairTable.caption)
        captions = pairs.caption.to_pylist()
        kept: list[list[NounPhrase]] = []
        dropped: list[list[Dropped]] = []
        grown: list[list[Span]] = []
        unread: dict[str, list[str]] = {"not_english": [], "unparsable": []}
        for caption, parsed in zip(captions, self._extractor.parse(captions), strict=True):
            stay, go = self._selection.apply(caption, parsed.phrases)
            if parsed.reason is not None:
                go = [Dropped(0, len(caption), parsed.reason)]
                unread[parsed.reason].append(caption)
            if self._expressions:
                grown.append(expressions_of(caption, parsed.phrases, stay))
            kept.append(stay)
            dropped.append(go)
            if len(kept) % STEP == 0:
                io.progress(STEP)
        io.progress(len(kept) % STEP)
        table = PhraseTable.of_columns(key=pairs.key, caption=pairs.caption, phrases=kept, dropped=dropped)
        if self._expressions:
            table = table.with_expressions(grown)
        io.write(PhraseTable.dataset, table.table)
        languages = count_languages(len(captions), unread["not_english"], len(unread["unparsable"]))
        return PartResult(Counts(len(captions), len(kept)), {"languages": languages})


def expressions_of(caption: str, phrases: Sequence[NounPhrase], kept: Sequence[NounPhrase]) -> list[Span]:
    """The expressions of the phrases that are kept, read among all phrases of the caption."""
    spans = dict(zip(phrases, expressions(caption, phrases), strict=True))
    return [Span(*spans[phrase]) for phrase in kept]
