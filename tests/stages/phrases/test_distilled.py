"""The default backend: what its result depends on, and that captions do not depend on the batch they are in."""

from __future__ import annotations

import hashlib

import pytest

from stages.phrases.distilled import Distilled, batches
from stages.phrases.network import WEIGHTS

CAPTIONS = ["a man in a red shirt", "", "two dogs and a cat on the grass", "x " * 40, "the woman's umbrella", "kite"]


@pytest.mark.parametrize("characters", [1, 7, 20, 1000])
def test_batches_hold_all_captions_in_order(characters: int) -> None:
    found = list(batches(CAPTIONS, characters))
    assert [caption for batch in found for caption in batch] == CAPTIONS
    assert all(sum(map(len, batch[:-1])) < characters for batch in found)  # full only with its last caption


def test_no_caption_makes_no_batch() -> None:
    assert list(batches([], 100)) == []


def test_a_caption_has_the_same_chunks_alone_and_among_others() -> None:
    together = list(Distilled().chunk(CAPTIONS))
    assert len(together) == len(CAPTIONS)
    assert any(chunked.chunks for chunked in together)
    backend = Distilled()
    for caption, chunked in zip(reversed(CAPTIONS), reversed(together), strict=True):
        assert list(backend.chunk([caption])) == [chunked]


def test_probabilities_are_of_each_token_and_sum_to_one() -> None:
    tokens, found = Distilled().probabilities(CAPTIONS)
    assert found.shape == (len(tokens.type), 3)
    assert found.sum(1) == pytest.approx(1, abs=1e-5)


def test_the_version_is_the_hash_of_the_weights() -> None:
    assert Distilled().version == "sha256:" + hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
