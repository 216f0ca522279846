"""Labels real captions for training: two spaCy pipelines parse them, their errors are mended, and where they differ the
tokens do not count.

    python -m recipes.chunker.silver --model en_core_web_sm --model /path/to/en_core_web_md \
        --captions conceptual_captions_val.tsv flickr8k_20k.tsv --out /tmp/silver.jsonl

Needs spaCy and its models. Caption files: tab-separated, the caption in the column that reads like one (Conceptual
Captions: `caption<TAB>url`; Flickr8k: `image#n<TAB>caption`). Writes {"caption", "spans", "unsure", "tags"} a line, all
spans in characters.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from recipes.chunker.captions import caption_of, lines_of, tokens_of
from recipes.chunker.mend import Parse, Spans, mend
from recipes.chunker.real import REAL, kept_out, measured_captions, real_rows, words_of
from stages.phrases.tokens import Kind, Token


def captions_to_label(files: list[Path], measured: Iterable[str]) -> list[str]:
    """Each distinct caption that we have not annotated and that is not kept out (`real.kept_out`)."""
    out = kept_out(files, measured)
    annotated = {words_of(row["caption"]) for row in real_rows(files, ("train",), REAL)}
    found = dict.fromkeys(
        caption
        for path in files
        for number, line in enumerate(lines_of(path), 1)
        if (path.name, number) not in out and words_of(caption := caption_of(line)) not in annotated
    )
    return [caption for caption in found if caption.strip()]


def parses(model: str, captions: list[str], tokens: list[list[Token]]) -> Iterator[tuple[Parse, list[str]]]:
    """Each caption's parse on our tokens, by one pipeline."""
    import spacy
    from spacy.tokens import Doc

    nlp = spacy.load(model, exclude=["ner", "lemmatizer", "senter"])

    def docs() -> Iterator[Doc]:
        for caption, row in zip(captions, tokens, strict=True):
            spaces = [after.start > token.end for token, after in pairwise(row)]
            yield Doc(nlp.vocab, words=[caption[t.start : t.end] for t in row], spaces=[*spaces, False])

    for row, doc in zip(tokens, nlp.pipe(docs(), batch_size=256), strict=True):
        tags = [token.tag_ for token in doc]
        yield (
            Parse(
                [token.form for token in row],
                [token.kind in (Kind.WORD, Kind.NUMBER) for token in row],
                tags,
                [token.dep_ for token in doc],
                [token.head.i for token in doc],
                [(chunk.start, chunk.end) for chunk in doc.noun_chunks],
            ),
            tags,
        )


def labels(spans: Spans, count: int) -> str:
    """One of O, B, I per token."""
    marks = ["O"] * count
    for start, end in spans:
        marks[start:end] = ["B", *"I" * (end - start - 1)]
    return "".join(marks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", required=True, help="name or path of a spaCy pipeline; give two")
    parser.add_argument("--captions", type=Path, nargs="+", required=True)
    parser.add_argument(
        "--without", type=Path, help="JSON lines with captions to leave out: what quality is measured on"
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    captions = captions_to_label(args.captions, measured_captions(args.without))
    tokens = [tokens_of(caption) for caption in captions]
    captions, tokens = map(list, zip(*((c, t) for c, t in zip(captions, tokens, strict=True) if t), strict=True))
    voters: list[list[tuple[Parse, list[str]]]] = [list(parses(model, captions, tokens)) for model in args.model]
    with args.out.open("w", encoding="utf-8") as out:
        for caption, row, *views in zip(captions, tokens, *voters, strict=True):
            out.write(json.dumps(record(caption, row, views), ensure_ascii=False) + "\n")


def record(caption: str, row: list[Token], views: list[tuple[Parse, list[str]]]) -> dict[str, Any]:
    found = [mend(parse) for parse, _ in views]
    marks = [labels(spans, len(row)) for spans in found]
    unsure = [[row[i].start, row[i].end] for i, each in enumerate(zip(*marks, strict=True)) if len(set(each)) > 1]
    spans = [[row[a].start, row[b - 1].end] for a, b in found[0]]
    return {"caption": caption, "spans": spans, "unsure": unsure, "tags": views[0][1]}


if __name__ == "__main__":
    main()
