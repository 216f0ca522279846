"""The model's own calls."""

from __future__ import annotations

import torch

from model.glip import known_tokens


def test_tokens_of_unknown_phrases_alone_are_left_out() -> None:
    rows = torch.zeros(3, 256)
    rows[0, [1, 2]] = rows[1, [2, 3]] = rows[2, [5]] = 1
    expected = torch.ones(256)
    expected[[1, 5]] = 0  # token 2 is also phrase 1's
    assert known_tokens(rows, torch.tensor([0, 2])).equal(expected)
    assert known_tokens(rows, torch.tensor([], dtype=torch.long)).equal(torch.ones(256))
    assert known_tokens(torch.zeros(1, 256), torch.tensor([], dtype=torch.long)).equal(torch.ones(256))
