"""The network: padding tokens, precision and memory."""

from __future__ import annotations

import pytest
import torch

from model.backbone import SwinStage
from model.glip import Glip
from model.head import Head
from model.initial import initialise
from model.network import GlipNetwork
from model.variants import FusionSpec, SwinSpec, TextSpec, Variant

TINY = Variant(
    "tiny",
    SwinSpec(16, (1, 1, 1, 1), (1, 2, 2, 4), window=4),
    text=TextSpec(hidden=32, layers=1, heads=2, intermediate=64, positions=256, vocabulary=50, embedding=32),
    fusion=FusionSpec(width=32, heads=2),
    tower=1,
    channels=32,
    old_classes=0,
)


def tiny() -> GlipNetwork:
    """With drawn weights: modules alone leave some of theirs as the memory was."""
    network = GlipNetwork(TINY)
    initialise(network)
    return network


def inputs(tokens: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    mask = torch.zeros(1, 256, dtype=torch.long)
    mask[:, :tokens] = 1
    return torch.randn(1, 3, 64, 96), torch.randint(0, 50, (1, 256)), mask


def test_tokens_after_the_longest_caption_are_cut(nano: Glip) -> None:
    pixels, ids, mask = inputs(7)
    with torch.no_grad():
        outputs = nano.head_outputs(pixels, ids, mask)
        other = nano.head_outputs(pixels, torch.where(mask.bool(), ids, 11), mask)
    assert [(-(-64 // s)) * (-(-96 // s)) for s in (8, 16, 32, 64, 128)] == [x.token_logits.shape[1] for x in outputs]
    assert {x.token_logits.shape[2] for x in outputs} == {7}
    for one, same in zip(outputs, other, strict=True):
        assert torch.equal(one.token_logits, same.token_logits)
    assert len(outputs) == 5


def test_recomputed_activations_give_the_same_gradients() -> None:
    torch.manual_seed(1)
    network = tiny().train()
    gradients = []
    for on in (False, True):
        network.use_checkpointing(on)
        assert {module.checkpointing for module in network.modules() if isinstance(module, Head | SwinStage)} == {on}
        network.zero_grad()
        sum(x.token_logits.square().mean() + x.box_regression.mean() for x in network(*inputs(5))).backward()
        gradients.append({name: x.grad for name, x in network.named_parameters() if x.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and len(gradients[0]) > 50
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_boxes_have_full_precision_whatever_the_network_computes_in(precision: str) -> None:
    network = tiny().eval()
    network.precision = precision
    seen: list[torch.dtype] = []
    network.backbone.register_forward_hook(lambda module, given, maps: seen.append(maps[0].dtype))
    with torch.no_grad():
        (first, *_) = network(*inputs(5))
    assert seen == [{"fp32": torch.float32, "bf16": torch.bfloat16}[precision]]
    assert first.box_regression.dtype == first.token_logits.dtype == torch.float32
