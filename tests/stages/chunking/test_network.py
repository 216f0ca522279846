"""The numpy network against the torch one that is trained, and the vocabulary against plain tokenizing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from stages.chunking.distilled import Distilled
from stages.chunking.features import MAX_ROWS, PAD_ROW, feature_rows
from stages.chunking.language import KNOWN_BITS
from stages.chunking.tokens import plain_spaces, tokenize
from stages.chunking.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "benchmarks" / "chunker"))
import fit  # noqa: E402

CAPTIONS = ["a man in a red shirt", "", "A 5-year-old's “toy” , £ 4.50 #x", "x", "the dog\u00a0runs ... 😀"]


def test_same_scores_as_torch(tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = fit.Chunker(dim=8, hidden=12, tags=4).eval()
    path = tmp_path / "weights.npz"
    fit.export(model, np.packbits(np.zeros(KNOWN_BITS, bool)), path)
    tokens, found = Distilled(path).probabilities(CAPTIONS)
    vocabulary = Vocabulary(np.zeros(KNOWN_BITS, bool))
    for i, caption in enumerate(CAPTIONS):
        types = vocabulary.tokens([caption]).type
        if not len(types):
            assert not (tokens.caption == i).any()
            continue
        rows = torch.from_numpy(vocabulary.rows[types].astype(np.int64))
        with torch.no_grad():
            scores, _ = model(rows, torch.ones(len(rows)), 0.0)
        np.testing.assert_allclose(found[tokens.caption == i], scores.softmax(1).numpy(), atol=0.01)  # stored in 8 bits


def test_vocabulary_gives_the_tokens_of_each_caption() -> None:
    vocabulary = Vocabulary(np.zeros(KNOWN_BITS, bool), remember=4)
    for _ in range(3):  # the memory is cleared in between
        arrays = vocabulary.tokens(CAPTIONS)
        expected = []
        for i, caption in enumerate(CAPTIONS):
            offset = 0
            for piece in plain_spaces(caption).split(" "):
                expected += [(i, token.start + offset, token.end + offset, token.form) for token in tokenize(piece)]
                offset += len(piece) + 1
        forms = [vocabulary.forms[type_] for type_ in arrays.type]
        found = zip(arrays.caption.tolist(), arrays.start.tolist(), arrays.end.tolist(), forms, strict=True)
        assert list(found) == expected


def test_feature_rows_share_all_but_the_shape_across_letter_case() -> None:
    for word in ("tractor", "well-worn", "café"):
        lower, upper = (feature_rows(text, tokenize(text)[0]) for text in (word, word.upper()))
        assert len(lower) <= MAX_ROWS and max(lower) < PAD_ROW
        assert [a == b for a, b in zip(lower, upper, strict=True)].count(False) == 1
