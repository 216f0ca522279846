"""How many operators a batch launches on a GPU, counted on a CPU, before and after the dynamic head is changed.

    python -m benchmarks.launches [--compile] [--out benchmarks/results/launches.json]

Counted by part, over a batch of 8 images of 800 x 1344 with 32 tokens, on tensors without data: every operator that is
not a view, in fp32 and in bf16. The dynamic head also with the kernel (`label.deform: triton`), and, with --compile,
compiled (`label.compile`): the calls in what Inductor generates for one block, times the blocks. That is done on a
small pyramid and takes minutes of compiling; neither the sizes of maps nor the width change the number of calls. A
CPU's generated code differs from a GPU's in how it fuses, so the compiled count is a guide.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.record import publish
from model.deform_choice import convolutions
from model.device import autocast
from model.dyhead import DyConv
from model.fake_tensors import forget
from model.fusion import Fusion
from model.glip import Glip
from model.language import BertLayer
from model.variants import get_variant

# Operators that launch nothing, though torch does not mark them as views
VIEWS = {"_unsafe_view", "as_strided_", "_reshape_alias", "detach", "device", "scalar_tensor"}
CALL = re.compile(r"^\s+(?:\w+ = )?(cpp_fused\w*|extern_kernels\.\w+|torch\.ops\.\w+\.\w+(?:\.\w+)?)\(", re.MULTILINE)
PYRAMID = ((20, 34), (10, 17), (5, 9), (3, 5), (2, 3))  # of the compiled block


class Launches(TorchDispatchMode):
    """Counts operators that do something on the device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = op._schema.name.partition("::")[2]
        self.count += not op.is_view and name not in VIEWS
        return op(*args, **(kwargs or {}))


def count(run: Callable[[], object]) -> int:
    with Launches() as launches:
        run()
    return launches.count


def by_part(variant: str, precision: str, kernel: bool = False, size: tuple[int, int] = (800, 1344)) -> dict[str, int]:
    """Operators of each part for one batch, and their `total`."""
    with without_data(variant) as glip:
        glip.precision = precision
        if kernel:
            from model.deform_kernel import deform_conv

            for conv in convolutions(glip):
                conv.operator = deform_conv
        pixels, ids = torch.zeros(8, 3, *size), torch.zeros(8, 32, dtype=torch.long)
        found: dict[str, int] = {}

        def once() -> None:
            with glip.autocast():
                glip.head_from(glip.backbone(pixels), ids, torch.ones_like(ids))

        once()  # what sizes alone decide is kept from then on
        parts = {glip.backbone: "backbone", glip.language_backbone: "language"}
        kinds = {Fusion: "fusion", BertLayer: "fusion's BERT layers", DyConv: "dynamic head"}
        parts |= {block: kinds[type(block)] for block in glip.rpn.head.dyhead_tower}
        for module, part in parts.items():
            watch(module, part, found)
        total = count(once)
        return {**found, "outputs": total - sum(found.values()), "total": total}


def watch(module: nn.Module, part: str, found: dict[str, int]) -> None:
    """Adds what the module launches to its part."""
    counters: list[Launches] = []

    def enter(*_: object) -> None:
        counters.append(Launches())
        counters[-1].__enter__()

    def leave(*_: object) -> None:
        counters[-1].__exit__(None, None, None)
        found[part] = found.get(part, 0) + counters.pop().count

    module.register_forward_pre_hook(enter)
    module.register_forward_hook(leave)


@contextmanager
def without_data(variant: str) -> Iterator[Glip]:
    """The model with tensors that have sizes alone."""
    forget()
    try:
        with torch.device("meta"):
            glip = Glip(get_variant(variant)).eval()
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            yield glip.to_empty(device="cpu")
    finally:
        forget()


def compiled_calls(precision: str, channels: int = 32) -> int:
    """Calls in the generated code of one block of the dynamic head, for images of all sizes."""
    from torch._inductor.utils import run_and_get_code

    block = DyConv(channels).eval()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.1)
    maps: list[Tensor] = [torch.randn(2, *size, channels).permute(0, 3, 1, 2) for size in PYRAMID]
    with torch.no_grad(), autocast(torch.device("cpu"), precision):
        _, sources = run_and_get_code(torch.compile(block, dynamic=True, fullgraph=True), maps)
    (source,) = sources
    return len(CALL.findall(source.partition("def call(")[2]))


def main() -> None:
    """Command line: see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    blocks = get_variant("glip-t").tower
    result: dict[str, Any] = {
        "what": "operators that a batch of GLIP-T launches, views not counted",
        "command": f"python -m benchmarks.launches{' --compile' if options.compile else ''}",
        "plain": {precision: by_part("glip-t", precision) for precision in ("fp32", "bf16")},
        "kernel": {precision: by_part("glip-t", precision, kernel=True) for precision in ("fp32", "bf16")},
    }
    if options.compile:
        result["compiled"] = {"bf16": {"dynamic head": blocks * compiled_calls("bf16")}}
    publish({**result, "versions": {"torch": torch.__version__}, "date": date.today().isoformat()}, options.out)


if __name__ == "__main__":
    main()
