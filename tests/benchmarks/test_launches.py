"""Launches are counted, the kernel saves more than half of the dynamic head's, and one compilation serves all sizes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchmarks.launches import CALL, by_part, count
from model.dyhead import DyConv
from model.network import GlipNetwork
from model.variants import get_variant


def test_views_are_not_counted() -> None:
    x = torch.ones(4, 6)
    assert count(lambda: x.view(6, 4).t()[1:]) == 0
    assert count(lambda: (x + 1).relu().reshape(-1)) == 2


@pytest.mark.slow
def test_the_kernel_takes_most_of_the_launches_of_the_dynamic_head() -> None:
    pytest.importorskip("triton", reason="Triton has no package for this platform")
    plain, kernel = (by_part("glip-nano", "bf16", on, (192, 256)) for on in (False, True))
    assert plain["total"] == sum(number for part, number in plain.items() if part != "total")
    assert kernel["dynamic head"] < plain["dynamic head"] / 2 < plain["total"] / 2
    assert {part for part in plain if plain[part] != kernel[part]} == {"dynamic head", "total"}


def test_generated_calls_are_found() -> None:
    source = """
def call(self, args):
        extern_kernels.addmm(buf1, arg0, out=buf2)
        buf3 = extern_kernels.convolution(buf2, arg1)
        cpp_fused_add_mul_0(buf3, arg2)
        buf9 = torch.ops.aten._embedding_bag_forward_only.default(buf3)
        buf4 = reinterpret_tensor(buf3, (s0, 3), (3, 1), 0)
"""
    assert len(CALL.findall(source)) == 4


@pytest.mark.slow
def test_a_compilation_serves_all_blocks_and_images_of_all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced without a break, at most once more for a second size, and then no more; to the same numbers. The blocks of
    a tower share what is compiled: torch would soon give up, without a word, if each wanted its own."""
    monkeypatch.setattr(torch._dynamo.config, "fail_on_recompile_limit_hit", True)
    traced: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        traced.append(graph)
        return graph

    torch.manual_seed(0)
    blocks, plain = (nn.ModuleList(DyConv(16) for _ in range(get_variant("glip-l").tower)).eval() for _ in range(2))
    for parameter in blocks.parameters():
        nn.init.normal_(parameter, std=0.1)
    plain.load_state_dict(blocks.state_dict())
    GlipNetwork.compile_blocks(blocks, keep)  # type: ignore[arg-type]  # as a network does it with its own
    pyramids = [
        ((12, 16), (6, 8), (3, 4)),
        ((10, 14), (5, 7), (3, 4)),
        ((16, 12), (8, 6), (4, 3)),
        ((9, 20), (5, 10), (3, 5)),
    ]
    after: list[int] = []
    with torch.inference_mode():
        for batch, sizes in zip((2, 3, 4, 5), pyramids, strict=True):
            maps = [torch.randn(batch, h, w, 16).permute(0, 3, 1, 2) for h, w in sizes]
            for block, other in zip(blocks, plain, strict=True):
                for own, expected in zip(block(maps), other(maps), strict=True):
                    torch.testing.assert_close(own, expected)
            after.append(len(traced))
    assert after[0] == 1 and after[1:] == [after[1]] * 3 and after[1] <= 2
