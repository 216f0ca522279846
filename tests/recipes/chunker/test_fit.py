"""Word vectors are folded into the table."""

from __future__ import annotations

import numpy as np
import torch

from recipes.chunker import fit
from stages.phrases.features import PAD_ROW, ROWS


def test_words_of_no_training_caption_have_their_vector_and_no_noise() -> None:
    model = fit.Chunker(dim=4, hidden=4, tags=1, width=3)
    vectors = np.zeros((ROWS, 3), np.float32)
    vectors[7] = 1.0
    before = model.features.weight[9].detach().clone()
    fit.fold(model, vectors, np.array([[9, PAD_ROW]]))
    weight = model.features.weight.detach()
    assert torch.equal(weight[9], before) and torch.equal(weight[8], torch.zeros(4))
    torch.testing.assert_close(weight[7], model.project.weight.detach().sum(1))
