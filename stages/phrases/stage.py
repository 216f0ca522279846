"""The stage that writes the noun phrases of every caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from stages.phrases.extractor import NounPhraseExtractor
from stages.phrases.identify import count_languages
from stages.phrases.selection import Dropped, Selection
from stages.phrases.spans import NounPhrase
from stages.stage import Counts, Input, PartIO, PartResult

if TYPE_CHECKING:
    import pyarrow as pa

STEP = 2000  # captions between two signs of life


class PhrasesStage:
    """pairs -> phrases. Every pair keeps its row: one without a phrase has an empty list, and a caption that could not
    be chunked is in `dropped` as a whole, with the reason. The commit's notes count captions by script and language."""

    name: ClassVar[str] = "phrases"
    version: ClassVar[int] = 3
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
        pairs = io.read("pairs", ["key", "caption"])
        captions = pairs["caption"].to_pylist()
        kept: list[list[NounPhrase]] = []
        dropped: list[list[Dropped]] = []
        unread: dict[str, list[str]] = {"not_english": [], "unparsable": []}
        for caption, parsed in zip(captions, self._extractor.parse(captions), strict=True):
            stay, go = self._selection.apply(caption, parsed.phrases)
            if parsed.reason is not None:
                go = [Dropped(0, len(caption), parsed.reason)]
                unread[parsed.reason].append(caption)
            kept.append(stay)
            dropped.append(go)
            if len(kept) % STEP == 0:
                io.progress(STEP)
        io.progress(len(kept) % STEP)
        io.write("phrases", _table(pairs, kept, dropped))
        languages = count_languages(len(captions), unread["not_english"], len(unread["unparsable"]))
        return PartResult(Counts(len(captions), len(kept)), {"languages": languages})


def _table(pairs: pa.Table, kept: list[list[NounPhrase]], dropped: list[list[Dropped]]) -> pa.Table:
    import pyarrow as pa

    from schemas.records import PHRASES

    phrases, left_out = PHRASES.field("phrases").type, PHRASES.field("dropped").type
    columns = [pairs["key"], pairs["caption"], _lists(kept, phrases), _lists(dropped, left_out)]
    return pa.table(columns, schema=PHRASES)


def _lists(rows: Sequence[Sequence[tuple[Any, ...]]], type_: pa.ListType) -> pa.Array:
    """A list<struct> column from rows of tuples in the struct's field order, built column by column."""
    import pyarrow as pa

    offsets = [0]
    for row in rows:
        offsets.append(offsets[-1] + len(row))
    flat = [item for row in rows for item in row]
    fields = list(type_.value_type)
    columns = [pa.array([item[i] for item in flat], field.type) for i, field in enumerate(fields)]
    struct = pa.StructArray.from_arrays(columns, fields=fields)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), struct, type=type_)
