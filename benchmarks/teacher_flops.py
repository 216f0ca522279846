"""Floating-point operations of the teacher's forward pass, counted on tensors without data.

    python -m benchmarks.teacher_flops [--out benchmarks/results/teacher_flops.json]

Two per multiply-add of every matrix product, convolution, attention and bilinear sample (four corners each). Element by
element work, norms and softmax are not counted. The plain model pads text to 256 tokens and folds nothing, as the
official code does; its table is in ../shared/parity/TRAINING_FACTS.md (which leaves the bilinear samples out).
"""

from __future__ import annotations

import argparse
from datetime import date
from functools import lru_cache
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.record import publish
from model.dyhead import DyConv
from model.fake_tensors import forget
from model.fusion import BiMultiHeadAttention, Fusion
from model.glip import Glip
from model.language import BertLayer
from model.variants import get_variant

# Two padded sizes of each variant, whole windows of Swin, between which FLOPs are interpolated
SIZES = {
    "glip-t": ((672, 896), (896, 1344)),
    "glip-l": ((768, 768), (768, 1536)),
    "glip-nano": ((192, 192), (192, 320)),
}
PARTS = ("visual body", "pyramid", "language", "fusion", "fusion's BERT layers", "dynamic head", "outputs")


def attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    """(B, heads, positions, width) each."""
    batch, heads, positions, width = query
    return 2 * batch * heads * positions * key[2] * (width + value[3])


def bags(table: torch.Size, indices: torch.Size, *_: object, **__: object) -> int:
    """Weighted sums of the rows (rows, C) of a table."""
    return 2 * indices.numel() * table[1]


OURS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention,
    torch.ops.aten._embedding_bag_forward_only: bags,
    torch.ops.aten._embedding_bag: bags,
}


def unfold(glip: Glip) -> None:
    """Makes the fusion apply its projections at every position, as the paper writes it."""
    for module in glip.modules():
        if isinstance(module, BiMultiHeadAttention):
            module.fold = False


@lru_cache(maxsize=64)
def count(variant: str, height: int, width: int, tokens: int, plain: bool = False) -> dict[str, float]:
    """GFLOP of each of PARTS for one image of that padded size and that many tokens, and their `total`."""
    forget()
    try:
        with torch.device("meta"):
            glip = Glip(get_variant(variant)).eval()
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            return _count(glip.to_empty(device="cpu"), height, width, tokens, plain)
    finally:
        forget()


def estimate(variant: str, height: int, width: int, tokens: int, plain: bool = False) -> float:
    """GFLOP of one image, from four counts: they grow with the pixels, with the tokens and with their product.

    Up to 64 tokens and beyond, apart: there glip-nano no longer folds.
    """
    small, large = SIZES[variant]
    short, long = (16, 64) if tokens <= 64 and not plain else (65, 256)

    def at(length: int) -> float:
        few, many = (count(variant, *size, length, plain)["total"] for size in (small, large))
        share = (height * width - small[0] * small[1]) / (large[0] * large[1] - small[0] * small[1])
        return few + share * (many - few)

    if plain:
        return at(long)
    return at(short) + (tokens - short) / (long - short) * (at(long) - at(short))


def _count(glip: Glip, height: int, width: int, tokens: int, plain: bool) -> dict[str, float]:
    pixels, ids = torch.zeros(1, 3, height, width), torch.zeros(1, tokens, dtype=torch.long)
    if plain:
        unfold(glip)
    totals = dict.fromkeys(PARTS, 0.0)

    def watch(module: torch.nn.Module, part: str) -> None:
        """Adds what the module does to the part."""
        counters: list[FlopCounterMode] = []

        def enter(*_: object) -> None:
            counters.append(FlopCounterMode(display=False, custom_mapping=OURS))
            counters[-1].__enter__()

        def leave(*_: object) -> None:
            counters[-1].__exit__(None, None, None)
            totals[part] += counters.pop().get_total_flops() / 1e9

        module.register_forward_pre_hook(enter)
        module.register_forward_hook(leave)

    watch(glip.backbone.body, "visual body")
    watch(glip.backbone.fpn, "pyramid")
    watch(glip.language_backbone, "language")
    for block in glip.rpn.head.dyhead_tower:
        kinds = {Fusion: "fusion", BertLayer: "fusion's BERT layers", DyConv: "dynamic head"}
        watch(block, kinds[type(block)])
    with FlopCounterMode(display=False, custom_mapping=OURS) as whole:
        glip.head_from(glip.backbone(pixels), ids, torch.ones_like(ids))
    totals["outputs"] = whole.get_total_flops() / 1e9 - sum(totals.values())
    return {**{part: round(value, 3) for part, value in totals.items()}, "total": round(sum(totals.values()), 3)}


def main() -> None:
    """Command line: see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = {
        "what": "GFLOP of one forward pass, 800 x 1344 pixels (glip-nano: 192 x 256), two per multiply-add",
        "command": "python -m benchmarks.teacher_flops",
        "plain, 256 tokens": {name: count(name, 800, 1344, 256, plain=True) for name in ("glip-t", "glip-l")},
        "folded": {
            name: {str(tokens): count(name, *size, tokens) for tokens in (16, 32, 64, 128, 256)}
            for name, size in (("glip-t", (800, 1344)), ("glip-l", (800, 1344)), ("glip-nano", (192, 256)))
        },
        "versions": {"torch": torch.__version__},
        "date": date.today().isoformat(),
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
