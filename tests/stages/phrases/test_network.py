"""The numpy network against the torch one that is trained, and the vocabulary against plain tokenizing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from recipes.chunker import fit
from stages.phrases.distilled import Distilled
from stages.phrases.features import MAX_ROWS, PAD_ROW, ROWS, WORD_ROWS, feature_rows
from stages.phrases.language import KNOWN_BITS
from stages.phrases.tokens import plain_spaces, tokenize
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


def test_words_of_no_training_caption_have_their_vector_and_no_noise() -> None:
    model = fit.Chunker(dim=4, hidden=4, tags=1, width=3)
    vectors = np.zeros((ROWS, 3), np.float32)
    vectors[7] = 1.0
    before = model.features.weight[9].detach().clone()
    fit.fold(model, vectors, np.array([[9, PAD_ROW]]))
    weight = model.features.weight.detach()
    assert torch.equal(weight[9], before) and torch.equal(weight[8], torch.zeros(4))
    torch.testing.assert_close(weight[7], model.project.weight.detach().sum(1))


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
