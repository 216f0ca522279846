"""What the sections of benchmarks/gpu.py share: how much is measured, and on what."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks.official_weights import SHARED
from benchmarks.teacher_measure import PHOTOS, Pair, photos, scenes


class Absent(Exception):
    """What a section needs is not at hand; the message says what."""


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    device: str
    precision: str  # of the rates
    batch_sizes: tuple[int, ...]
    images: int  # of every row, from JPEG bytes to boxes
    warm_up: int  # images before: each shape once, for the libraries and for Triton
    scenes: int  # whose labels are compared
    sides: tuple[int, int] | None  # that images are resized to; None: the model's own
    steps: int  # of training, as many again to warm up
    small: bool  # small models in the place of the large ones

    @property
    def middle(self) -> int:
        """The batch size of what is measured once."""
        return self.batch_sizes[len(self.batch_sizes) // 2]


FULL = Scale("cuda", "bf16", (8, 16, 32), images=512, warm_up=160, scenes=64, sides=None, steps=6, small=False)
# Triton's interpreter, in which a rehearsal may run the kernel, multiplies no bf16.
TINY = Scale("cpu", "fp16", (1,), images=1, warm_up=1, scenes=2, sides=(32, 32), steps=1, small=True)


def scale(rehearse: bool) -> Scale:
    return TINY if rehearse else FULL


def pairs(kind: str, count: int, of: Scale) -> list[Pair]:
    """`count` JPEGs with captions and phrases: scenes for glip-nano and in rehearsals, else photos."""
    if kind == "scenes" or of.small:
        return scenes(count)
    if not PHOTOS.is_dir():
        raise Absent(f"no photos at {PHOTOS}; python -m benchmarks.gpu_wheels brings them along")
    return photos(count)


def recordings() -> None:
    """Raises Absent where the recorded parity cases are not at hand: they also make up the weights of GLIP-T and -L."""
    if not (SHARED / "parity").is_dir():
        raise Absent(f"no recordings at {SHARED / 'parity'}; python -m benchmarks.gpu_wheels brings them along")


def so_far(found: dict[str, Any], of: Scale) -> None:
    """Called by a section that takes long, whenever it has another row: if it ends too early, these stay."""
    if not of.small:  # a rehearsal runs in one process, in which a line is for people
        say_found(found)


def say_found(found: dict[str, Any]) -> None:
    """From the process of a section, in which the last line counts."""
    sys.stdout.write("\n" + json.dumps(found) + "\n")
    sys.stdout.flush()


def said_so_far(out: str) -> dict[str, Any]:
    """Of what the process of a section wrote, the last whole line that is a result; nothing where there is none."""
    for line in reversed(out.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return {}
