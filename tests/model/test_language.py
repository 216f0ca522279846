"""BERT beside that of transformers, with the same weights."""

from __future__ import annotations

import pytest
import torch

from model.language import Bert, BertEmbeddings, TunedPrompt
from model.variants import TextSpec

SPEC = TextSpec(hidden=24, layers=3, heads=4, intermediate=40, positions=32, vocabulary=100, embedding=24)


def test_states_are_those_of_transformers_with_the_same_weights() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        **{"vocab_size": 100, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4},
        **{"intermediate_size": 40, "max_position_embeddings": 32},
    )
    theirs = transformers.BertModel(config, add_pooling_layer=False).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ours = Bert(SPEC).eval()
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if k != "embeddings.position_ids"})
    ids = torch.randint(0, 100, (2, 9))
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, 5:] = 0
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
        found = ours(ids, mask)
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], rtol=1e-4, atol=1e-5)


def test_padding_changes_no_real_token() -> None:
    torch.manual_seed(1)
    bert, ids = Bert(SPEC).eval(), torch.randint(0, 100, (1, 6))
    with torch.no_grad():
        alone = bert(ids, torch.ones(1, 6, dtype=torch.long))
        padded = bert(torch.cat([ids, torch.full((1, 4), 7)], 1), torch.tensor([[1] * 6 + [0] * 4]))
    torch.testing.assert_close(padded[:, :6], alone)


def test_a_factorised_table_is_projected() -> None:
    """Word vectors of 8 numbers, states of 24: the same as a table of 24 that is their product."""
    torch.manual_seed(2)
    small = BertEmbeddings(TextSpec(hidden=24, positions=32, vocabulary=100, embedding=8)).eval()
    whole = BertEmbeddings(SPEC).eval()
    assert small.word_projection is not None and whole.word_projection is None
    with torch.no_grad():
        whole.word_embeddings.weight.copy_(small.word_embeddings.weight @ small.word_projection.weight.T)
        for name in ("position_embeddings", "token_type_embeddings", "LayerNorm"):
            getattr(whole, name).load_state_dict(getattr(small, name).state_dict())
        ids = torch.randint(0, 100, (2, 7))
        torch.testing.assert_close(small(ids), whole(ids))


def test_dropout_acts_in_train_mode_only() -> None:
    torch.manual_seed(3)
    bert, ids, mask = Bert(SPEC, dropout=0.5), torch.randint(0, 100, (1, 6)), torch.ones(1, 6, dtype=torch.long)
    assert not torch.equal(bert(ids, mask), bert(ids, mask))
    bert.eval()
    assert torch.equal(bert(ids, mask), bert(ids, mask))


def test_a_tuned_prompt_adds_its_vectors_to_its_own_text_alone() -> None:
    prompt = TunedPrompt([101, 7, 8, 102], hidden=3)
    with torch.no_grad():
        prompt.offset.copy_(torch.arange(12.0).reshape(4, 3))
    states = torch.full((4, 6, 3), 0.5)
    ids = torch.tensor(
        [
            [101, 7, 8, 102, 0, 0],  # the prompt, padded
            [101, 7, 8, 9, 102, 0],  # begins like it
            [101, 7, 102, 0, 0, 0],  # ends early
            [101, 8, 7, 102, 0, 0],
        ]
    )
    found = prompt(states, ids)
    expected = states.clone()
    for token in range(4):
        expected[0, token] += torch.tensor([3.0 * token, 3.0 * token + 1, 3.0 * token + 2])
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    short = prompt(states[:, :3], ids[:, :3])  # a batch of shorter texts
    torch.testing.assert_close(short, states[:, :3], rtol=0, atol=0)
