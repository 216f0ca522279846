import pytest
import torch
from torch import Tensor

from model.fusion import BiMultiHeadAttention
from model.variants import FusionSpec

CHANNELS, HIDDEN, POSITIONS, TOKENS = 12, 20, 37, 7


@pytest.fixture
def attention() -> BiMultiHeadAttention:
    torch.manual_seed(0)
    return BiMultiHeadAttention(CHANNELS, HIDDEN, FusionSpec(width=24, heads=3)).double()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    mask = torch.ones(2, TOKENS, dtype=torch.long)
    mask[1, 4:] = 0
    visual = torch.randn(2, POSITIONS, CHANNELS, dtype=torch.float64, requires_grad=True)
    return visual, torch.randn(2, TOKENS, HIDDEN, dtype=torch.float64, requires_grad=True), mask


def run(attention: BiMultiHeadAttention, fold: bool) -> tuple[tuple[Tensor, Tensor], list[Tensor]]:
    """Both results, and the gradients of everything that went in."""
    attention.fold = fold
    visual, states, mask = inputs()
    torch.manual_seed(2)
    delta_v, delta_l = attention(visual, states, mask)
    real = delta_l[mask.bool()]
    wanted = [visual, states, *attention.parameters()]
    return (delta_v, real), list(torch.autograd.grad((delta_v.square().sum() + real.pow(3).sum()), wanted))


def test_folding_changes_neither_the_results_nor_the_gradients(attention: BiMultiHeadAttention) -> None:
    folded, folded_gradients = run(attention, fold=True)
    plain, plain_gradients = run(attention, fold=False)
    for one, other in zip((*folded, *folded_gradients), (*plain, *plain_gradients), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_folding_agrees_under_dropout(attention: BiMultiHeadAttention, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same weights dropped in both orders, whatever their layout in memory."""

    def drop(weights: Tensor, probability: float) -> Tensor:
        return weights * (torch.sin(weights.detach() * 1e6) > -0.2) / 0.56

    monkeypatch.setattr("model.fusion.F.dropout", drop)
    dry, _ = run(attention, fold=True)
    attention.dropout = 0.44
    attention.train()
    folded, _ = run(attention, fold=True)
    plain, _ = run(attention, fold=False)
    assert len(dry) == 2
    for one, other, untouched in zip(folded, plain, dry, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
        assert not torch.allclose(one, untouched, atol=1e-2)


def test_padding_tokens_change_nothing(attention: BiMultiHeadAttention) -> None:
    visual, states, mask = inputs()
    delta_v, delta_l = attention(visual, states, mask)
    short_v, short_l = attention(visual[1:], states[1:, :4], mask[1:, :4])
    torch.testing.assert_close(delta_v[1:], short_v)
    torch.testing.assert_close(delta_l[1:, :4], short_l)


def test_the_cheaper_order_is_chosen() -> None:
    """Counted by hand for the published sizes (256 channels, 8 heads of 256): folding pays up to 256 tokens."""
    published = BiMultiHeadAttention(256, 768, FusionSpec())
    visual = torch.empty(1, 22_000, 256, device="meta")
    assert published._folding_pays(visual, torch.empty(1, 256, 768, device="meta"))
    small = BiMultiHeadAttention(96, 96, FusionSpec(width=192, heads=4))
    assert small._folding_pays(visual[..., :96], torch.empty(1, 96, 96, device="meta"))
    assert not small._folding_pays(visual[..., :96], torch.empty(1, 97, 96, device="meta"))
