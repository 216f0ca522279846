"""Whether GLIP keeps to its device and never waits for it: on tensors that have a device and a shape, but no data.

    python -m benchmarks.fake_cuda [--variants glip-t] [--precisions bf16] [--out benchmarks/results/fake_cuda.json]

No GPU is needed, but torch's build for CUDA, e.g. in a virtual environment of its own. Operators of two devices refuse
to work together here as they do there, and a value that the host would have to wait for is not there. What is run, for
every variant and precision, is the way from a batch of images to what is copied to the host, with captions of one and
of two prompts; the assignment of anchors; the losses; and a training step behind them. How many anchors are positive is
the one value that a training batch is waited for before its losses: from there on, a number is made up.

The training step runs on the meta device, in fp32, because torch's backward pass asks for a GPU that is there. With
--device meta all of it does, on any build of torch; tests/benchmarks/test_fake_cuda.py does so. Not covered: the
kernels themselves, pinned memory, streams and GradScaler.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from benchmarks.record import ROOT, publish
from model.anchors import level_sizes, pyramid_anchors
from model.device import PRECISIONS
from model.fake_tensors import forget
from model.glip import Glip
from model.grounding import GlipGrounder
from model.losses import Positives, claims
from model.teacher import Query
from model.variants import get_variant
from stages.train.optimizer import Ema, make_optimizer

VARIANTS = ("glip-nano", "glip-photos", "glip-t-a", "glip-t", "glip-l")
CAPTION, SPANS = "a cat beside two dogs on the red sofa", [[(0, 5)], [(13, 21)], [(25, 37)]]
BOXES = [[10.0, 10, 50, 60], [20, 5, 60, 50], [0, 30, 40, 60]]
POSITIVES = 9  # anchors of each box, made up

WAITS = (DataDependentOutputException, DynamicOutputShapeException)


class Stream:
    """Stands for the stream of a device that is not there."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def record_event(self) -> Stream:
        return self

    def synchronize(self) -> None:
        raise AssertionError("nothing of a fake device arrives")


def blank(images: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """`stack` of images of one size, a multiple of 32: what they hold is of no interest."""
    return torch.zeros(len(images), *images[0].shape, dtype=torch.uint8)


@contextmanager
def pretended(device: torch.device) -> Iterator[None]:
    """Fake tensors, and what torch asks of a machine before it uses them. The meta device has no autocast."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(Tensor, "pin_memory", lambda x: x))
        for module in ("grounding", "glip"):
            stack.enter_context(mock.patch(f"model.{module}.stack", blank))
        stack.enter_context(mock.patch.object(torch.cuda, "current_stream", Stream))
        stack.enter_context(mock.patch.object(torch.cuda, "is_bf16_supported", lambda: True))
        stack.enter_context(mock.patch.object(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False))
        if device.type == "meta":
            stack.enter_context(mock.patch.object(torch, "autocast", lambda *_, **__: nullcontext()))
        else:  # a tensor of one number keeps it, and would want a GPU to keep it on
            stack.enter_context(mock.patch.object(fake_tensor, "CONSTANT_NUMEL_LIMIT", 0))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        forget()
        try:
            yield
        finally:
            forget()


class Batch:
    """Blank images of one size, with a caption and boxes."""

    def __init__(self, glip: Glip, count: int, height: int, width: int) -> None:
        self.glip, self.count, self.size = glip, count, (height, width)
        self.images = [np.zeros((height, width, 3), np.uint8)] * count

    def inference(self) -> None:
        grounder = GlipGrounder(self.glip, (None, None))
        (prompt,), _ = grounder.caption_work(CAPTION, SPANS)
        queries = [Query(image, self.size, [prompt] * (1 + number % 2)) for number, image in enumerate(self.images)]
        with torch.inference_mode():
            turns = list(grounder.ground(queries, 0.1))
        if len(turns) != min(2, self.count):
            raise AssertionError(f"{len(turns)} turns")

    def assignment(self) -> None:
        for boxes in (BOXES, []):
            own = torch.tensor(boxes, device=self.glip.device).view(-1, 4)
            of_device(claims(own, pyramid_anchors(level_sizes(*self.size), self.glip.device)), self.glip.device)

    def losses(self) -> dict[str, Tensor]:
        target = {"boxes": BOXES, "phrase": list(range(len(BOXES))), "shared": np.eye(3), "unknown": [2]}
        every = [CAPTION] * self.count, [SPANS] * self.count, [target] * self.count
        with mock.patch("model.glip.match", self._matched):
            losses = self.glip.train().losses(self.images, *every, resize_to=None)
        of_device(losses.values(), self.glip.device)
        return losses

    def _matched(self, boxes: list[Tensor], levels: list[Tensor]) -> Positives:
        of_device([*boxes, *levels], self.glip.device)
        count = POSITIVES * sum(len(own) for own in boxes)
        return Positives(*(torch.zeros(count, dtype=torch.long, device=self.glip.device) for _ in range(3)))

    def step(self) -> None:
        optimizer, ema = make_optimizer(self.glip, 1e-4, 1e-5, 1e-4), Ema(self.glip, 0.999)
        torch.stack(list(self.losses().values())).sum().backward()
        gradients = [x.grad for x in self.glip.parameters() if x.grad is not None]
        of_device(gradients, self.glip.device)
        torch.nn.utils.clip_grad_norm_(self.glip.parameters(), 1.0)
        optimizer.step()
        ema.update(self.glip, 0)
        of_device(ema.weights.values(), self.glip.device)


def of_device(tensors: Any, device: torch.device) -> None:
    """Raises AssertionError for a tensor that is elsewhere."""
    found = {str(x.device) for x in tensors}
    if found != {str(device)}:
        raise AssertionError(f"tensors of {sorted(found)}, not of {device}")


def check(variant: str, precision: str, device: str, count: int, height: int, width: int) -> dict[str, str]:
    """What each thing that a network does comes to: "passed", or what is wrong and where."""
    found = run(variant, precision, device, (count, height, width), ("inference", "assignment", "losses"))
    if precision == "fp32":
        found |= run(variant, precision, "meta", (count, height, width), ("step",))
    return found


def run(variant: str, precision: str, device: str, shape: tuple[int, int, int], works: Sequence[str]) -> dict[str, str]:
    """`check` of some methods of Batch, for a batch of that (B, H, W)."""
    with torch.device("meta"):
        glip = Glip(get_variant(variant)).eval()
    with pretended(torch.device(device)):
        glip = glip.to_empty(device=device)
        glip.precision = precision
        batch = Batch(glip, *shape)
        return {name: outcome(getattr(batch, name)) for name in works}


def outcome(work: Callable[[], Any]) -> str:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - whatever it is, is the result
        frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        # Packages may be installed below the repository, in .venv.
        path, line = [(p, n) for p, n in frames if p.is_relative_to(ROOT) and "site-packages" not in p.parts][-1]
        place = f"{path.relative_to(ROOT)}:{line}"
        what = "waits for the device" if isinstance(error, WAITS) else f"{type(error).__name__}: {error}"
        return f"{place}: {' '.join(what.split())[:300]}"
    return "passed"


def main() -> None:
    """Command line: see the module's first lines. Exit code 1 if anything did not pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS))
    parser.add_argument("--precisions", nargs="*", default=list(PRECISIONS), choices=list(PRECISIONS))
    parser.add_argument("--device", default="cuda", choices=["cuda", "meta"])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1344), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.backends.cuda.is_built():
        parser.error("this torch is built for CPUs alone: use one built for CUDA, or --device meta --precisions fp32")
    if options.device == "meta" and options.precisions != ["fp32"]:
        parser.error("--device meta has no autocast: add --precisions fp32")
    found: dict[str, dict[str, dict[str, str]]] = {}
    for variant in options.variants:
        for precision in options.precisions:
            own = check(variant, precision, options.device, options.batch_size, *options.size)
            found.setdefault(variant, {})[precision] = own
            sys.stderr.write(f"{variant} {precision}: {own}\n")
    words = [word for variant in found.values() for own in variant.values() for word in own.values()]
    height, width = options.size
    result = {
        "what": f"fake tensors of {options.device}, {options.batch_size} images of {height} x {width}",
        "command": "python -m benchmarks.fake_cuda",
        "passed": words.count("passed"),
        "failed": len(words) - words.count("passed"),
        "variants": found,
        "versions": {"torch": torch.__version__},
        "date": date.today().isoformat(),
    }
    publish(result, options.out)
    sys.exit(int(result["failed"] != 0))


if __name__ == "__main__":
    main()
