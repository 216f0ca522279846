"""The numpy network against the torch one that is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from recipes.chunker import fit
from stages.phrases.distilled import Distilled
from stages.phrases.features import ROWS, WORD_ROWS
from stages.phrases.language import KNOWN_BITS
from stages.phrases.vocabulary import Vocabulary

CAPTIONS = ["a man in a red shirt", "", "A 5-year-old's “toy” , £ 4.50 #x", "x", "the dog\u00a0runs ... 😀"]


def test_same_scores_as_torch(tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = fit.Chunker(dim=8, hidden=12, tags=4, width=5).eval()
    vectors = np.random.default_rng(3).normal(size=(ROWS, 5)).astype(np.float32) * 0.3
    vectors[WORD_ROWS:] = 0.0
    vocabulary = Vocabulary(np.zeros(KNOWN_BITS, bool))
    expected = []
    for caption in CAPTIONS:
        types = vocabulary.tokens([caption]).type
        rows = vocabulary.rows[types].astype(np.int64)
        with torch.no_grad():
            meaning = torch.from_numpy(vectors[rows].sum(1))
            scores, _ = model(torch.from_numpy(rows), meaning, torch.ones(len(rows)), 0.0)
        expected.append(scores.softmax(1).numpy())
    fit.fold(model, vectors, vocabulary.rows)
    fit.export(model, np.packbits(np.zeros(KNOWN_BITS, bool)), tmp_path / "weights.npz")
    tokens, found = Distilled(tmp_path / "weights.npz").probabilities(CAPTIONS)
    assert np.bincount(tokens.caption, minlength=len(CAPTIONS)).tolist() == [len(rows) for rows in expected]
    np.testing.assert_allclose(found, np.concatenate(expected), atol=0.01)  # stored in 8 bits
