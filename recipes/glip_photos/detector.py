"""NanoDet-Plus' weights (ncnn, Apache-2.0) in the backbone of `glip-photos`: the same layers, read in their order."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from model.ghostpan import GhostBlock, GhostPan
from model.shufflenet import ShuffleDown, ShuffleNet

HALF, INT8 = 0x01306B47, 0x000D4B38  # how ncnn marks the type of a layer's weights
FLOAT = (0, 0x0002C056)
CLASSES, BINS = 80, 32  # outputs of the detector's last convolutions: class logits, and 8 bins for each side of a box


class Outputs(NamedTuple):
    """The last convolution of each level, (112, 128) and (112,): classes first."""

    weights: list[Tensor]
    biases: list[Tensor]


def load_detector(body: ShuffleNet, pyramid: GhostPan, folder: Path) -> Outputs:
    """Copies the detector's weights into the backbone; returns those of its predictions, for P3 to P6.

    Raises ValueError where a layer does not fit.
    """
    layers = read_layers(next(folder.glob("*.param")), next(folder.glob("*.bin")))
    for target in backbone_convolutions(body, pyramid):
        copy(target, *next(layers))
    found: dict[int, tuple[Tensor, Tensor]] = {}
    first, second = [[level[index] for level in pyramid.levels] for index in (0, 1)]
    for level in first:  # P3, P4, P5, P6: depthwise, pointwise
        copy(level[0], *next(layers))
        copy(level[2][0], *next(layers))
    for number in (3, 2, 1, 0):  # the file has P6 first
        copy(second[number][0], *next(layers))
        copy(second[number][2][0], *next(layers))
        weight, bias = next(layers)
        found[number] = (torch.from_numpy(weight).view(CLASSES + BINS, -1), torch.from_numpy(bias))
    if next(layers, None) is not None:
        raise ValueError(f"{folder}: more layers than the detector has")
    return Outputs([found[number][0] for number in range(4)], [found[number][1] for number in range(4)])


def backbone_convolutions(body: ShuffleNet, pyramid: GhostPan) -> Iterator[nn.Conv2d]:
    """Those up to P6, in the order of the file."""
    yield body.stem[0]
    for stage in body.stages:
        for block in stage:
            if isinstance(block, ShuffleDown):
                yield from (block.branch1[0], block.branch2[0][0], block.branch2[1])
                yield from (block.branch1[1][0], block.branch2[2][0])
            else:
                yield from (block.branch2[0][0], block.branch2[1], block.branch2[2][0])
    c3, c4, c5 = (reduce[0] for reduce in pyramid.reduce)
    yield from (c5, c4)
    yield from ghost_convolutions(pyramid.top_down[0])
    yield c3
    yield from ghost_convolutions(pyramid.top_down[1])
    for down, ghost in zip(pyramid.down, pyramid.bottom_up, strict=True):
        yield from (down[0], down[2][0])
        yield from ghost_convolutions(ghost)
    for extra in (pyramid.extra_in, pyramid.extra_out):
        yield from (extra[0], extra[2][0])


def ghost_convolutions(block: GhostBlock) -> Iterator[nn.Conv2d]:
    """In the order of the file."""
    yield from (block.ghost1.primary, block.ghost1.cheap, block.ghost2.primary, block.ghost2.cheap)
    yield from (block.shortcut[0], block.shortcut[1])


def copy(target: nn.Conv2d, weight: np.ndarray, bias: np.ndarray) -> None:
    """Raises ValueError where the sizes differ."""
    if weight.size != target.weight.numel() or bias.size != target.bias.numel():
        raise ValueError(f"a layer of {weight.size} weights for one of {tuple(target.weight.shape)}")
    with torch.no_grad():
        target.weight.copy_(torch.from_numpy(weight).view_as(target.weight))
        target.bias.copy_(torch.from_numpy(bias))


def read_layers(param: Path, binary: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(weights, biases), both flat float32, of each convolution of an ncnn model in the order of its files."""
    data, at = binary.read_bytes(), 0

    def floats(count: int) -> np.ndarray:
        nonlocal at
        at += 4 * count
        return np.frombuffer(data, np.float32, count, at - 4 * count).copy()

    for line in param.read_text().splitlines():
        kind, *words = line.split()
        if not kind.startswith("Convolution"):
            continue
        options = {int(key): value for key, value in (word.split("=") for word in words if "=" in word)}
        width, count, quantised = int(options[0]), int(options[6]), int(options.get(8, 0))
        (mark,) = struct.unpack_from("<I", data, at)
        at += 4
        if mark in FLOAT:
            weight = floats(count)
        elif mark in (HALF, INT8):
            number = np.dtype(np.float16 if mark == HALF else np.int8)
            weight = np.frombuffer(data, number, count, at).astype(np.float32)
            at += -(-count * number.itemsize // 4) * 4
        else:
            raise ValueError(f"{binary}: weights of an unknown type {mark:#x}")
        bias = floats(width)
        if quantised:  # a factor for each output (a depthwise layer of type 2 or 102: one for all), one for the input
            single = kind == "ConvolutionDepthWise" and quantised % 100 != 1
            factors = np.repeat(floats(1), width) if single else floats(width)
            floats(2 if quantised > 100 else 1)  # of the input, and of the output
            if mark == INT8:
                weight = (weight.reshape(width, -1) / factors[:, None]).ravel()
        yield weight, bias
