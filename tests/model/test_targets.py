"""What a training target may be, and which tokens it concerns."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from model.targets import as_target, known_tokens, token_rows


def test_tokens_of_unknown_phrases_alone_are_left_out() -> None:
    rows = torch.zeros(3, 256)
    rows[0, [1, 2]] = rows[1, [2, 3]] = rows[2, [5]] = 1
    expected = torch.ones(256)
    expected[[1, 5]] = 0  # token 2 is also phrase 1's
    assert known_tokens(rows, torch.tensor([0, 2])).equal(expected)
    assert known_tokens(rows, torch.tensor([], dtype=torch.long)).equal(torch.ones(256))
    assert known_tokens(torch.zeros(1, 256), torch.tensor([], dtype=torch.long)).equal(torch.ones(256))


def test_a_target_is_a_mapping_a_pair_or_an_object() -> None:
    boxes, phrase = [[0, 0, 5, 5], [1, 1, 6, 6]], [1, 0]
    forms = ({"boxes": boxes, "phrase": phrase}, (boxes, phrase), SimpleNamespace(boxes=boxes, phrase=phrase))
    for form in forms:
        found = as_target(form)
        assert found["boxes"].tolist() == boxes and found["phrase"].tolist() == phrase
        assert found["weight"].tolist() == found["regression"].tolist() == [1, 1] and len(found["unknown"]) == 0
    empty = as_target({"boxes": [], "phrase": []})
    assert empty["boxes"].shape == (0, 4) and empty["phrase"].dtype == torch.int64
    weighted = as_target({"boxes": boxes, "phrase": phrase, "weight": [0.5, 1.0], "unknown": [2]})
    assert weighted["weight"].tolist() == [0.5, 1.0] and weighted["unknown"].tolist() == [2]


def test_a_phrase_has_a_row_with_its_tokens() -> None:
    rows = token_rows([[1, 2], [], [5]])
    assert rows.shape == (3, 256) and [row.nonzero().flatten().tolist() for row in rows] == [[1, 2], [], [5]]
    assert token_rows([]).shape == (1, 256) and not token_rows([]).any()
