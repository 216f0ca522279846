"""Word vectors for the rows of the chunker's feature table: words that no training caption holds are not unknown.

    python -m recipes.chunker.vectors --model /path/to/en_core_web_md --silver /tmp/silver.jsonl \
        --out /tmp/vectors.npz

Takes the vectors of a spaCy pipeline for the words of the captions, most frequent first, of our own lists, and of the
whole words in BERT's vocabulary (model/vocab). fit.py learns one projection of them, and stores its result in the
table: the shipped chunker knows no vectors. Of two words on one row the first counts. Writes `rows` (n,) and `vectors`
(n, V), of unit length times SCALE.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from model.prompt import VOCABULARY
from recipes.chunker.brackets import parse
from recipes.chunker.captions import tokens_of
from recipes.chunker.words import DO, LIKE, THINGS
from stages.phrases.features import feature_rows
from stages.phrases.tokens import Kind, Token

SCALE = 8.0  # an entry is then about 0.5
ANNOTATED = Path(__file__).with_name("annotated.txt")


def training_words(captions: list[str]) -> list[str]:
    """The words of the captions, most frequent first, in a defined order."""
    counts = Counter(token.form for caption in captions for token in tokens_of(caption) if token.kind == Kind.WORD)
    return sorted(counts, key=lambda form: (-counts[form], form))


def all_words(captions: list[str]) -> Iterator[str]:
    yield from training_words(captions)
    yield from (*THINGS, *LIKE, *DO)
    for word in VOCABULARY.read_text(encoding="utf-8").splitlines():
        if word.isalpha() and len(word) > 1:
            yield word


def word_rows(form: str) -> list[tuple[int, str]]:
    """The rows that stand for whole words: of the form, and of what follows its last hyphen; with the word of each."""
    rows = feature_rows(form, Token(0, len(form), form, Kind.WORD))
    tail = form.rpartition("-")[2]
    return [(rows[0], form), *([(rows[2], tail)] if tail and tail != form else [])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="path of a spaCy pipeline with vectors")
    parser.add_argument("--silver", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    import spacy

    vocabulary = spacy.load(args.model, exclude=["tagger", "parser", "ner", "lemmatizer", "senter", "tok2vec"]).vocab
    captions = [json.loads(line)["caption"] for line in args.silver.read_text(encoding="utf-8").splitlines()]
    captions += [parse(line)[0] for line in ANNOTATED.read_text(encoding="utf-8").splitlines()]
    found: dict[int, np.ndarray] = {}
    for form in all_words(captions):
        for row, word in word_rows(form):
            if row not in found and vocabulary.has_vector(word):
                vector = vocabulary.get_vector(word)
                if (length := float(np.linalg.norm(vector))) > 0:
                    found[row] = vector * (SCALE / length)
    np.savez(args.out, rows=np.array(list(found), np.int32), vectors=np.array(list(found.values()), np.float16))
    sys.stderr.write(f"{len(found)} rows have a vector\n")


if __name__ == "__main__":
    main()
