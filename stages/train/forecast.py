"""What a training will take, said before it begins: samples, steps, memory and hours. Nothing is written."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import torch

from model.device import DeviceError, resolve_device
from model.images import padded_size
from model.prompt import encode
from model.variants import NONE, get_variant
from stages.stage import RunIO
from stages.train.flops import BACKWARD, PEAKS, peak_flops
from stages.train.memory import CountedNetwork
from stages.train.metrics import FILE
from stages.train.start import load_start

if TYPE_CHECKING:
    from schemas.config import Config, TrainConfig
    from stages.train.loader import BatchMaker
    from stages.train.sets import SampleSet

PROBES = 16  # steps of which one image is looked at
SHARE = 0.3  # of the device's peak, which is assumed to be reached
RECOMPUTING = 4 / 3  # work with activation checkpointing, to that without
USUAL = "H100"  # whose peak stands for that of a GPU which is not here
GB = 1e9


def forecast(io: RunIO, folder: str, config: Config, sets: dict[str, SampleSet], maker: BatchMaker) -> list[str]:
    """Lines for a person; `config` with the number of steps resolved, `folder` that of the student.

    Raises UserError for published weights that do not fit the variant.
    """
    train = config.train
    network = counted_network(train)
    height, width, tokens, longest = mean_input(maker, train.batch_size)
    size = maker.order.epoch_size
    epochs = train.steps * train.batch_size / size
    return [
        f"samples   {size:,} an epoch: {', '.join(f'{name} {len(own):,}' for name, own in sets.items())}",
        f"steps     {train.steps:,} of {train.batch_size:,} samples, {epochs:.1f} epochs",
        *(f"start     {encoder}: {words}" for encoder, words in load_start(network.glip, train.init).items()),
        f"images    {height} x {width} pixels when padded and {tokens} tokens, the mean of {PROBES} drawn ones",
        memory_line(network, train, max(maker.scales()), longest),
        hours_line(io, folder, train, BACKWARD * network.flops(height, width, tokens)),
    ]


def counted_network(train: TrainConfig) -> CountedNetwork:
    published = get_variant(train.variant).published
    return CountedNetwork(train.variant, published if train.regularise else NONE, train.precision, train.frozen)


def mean_input(maker: BatchMaker, batch_size: int) -> tuple[int, int, int, int]:
    """Mean padded height and width, mean and greatest number of tokens, of one image of each of the first steps."""
    batches = [maker.make(step, 0, batch_size) for step in range(PROBES)]
    lengths = [len(encode(example.caption)) for batch in batches for example in batch.examples] or [2]
    height, width = (sum(batch.pad_to[side] for batch in batches) // PROBES for side in (0, 1))
    return *padded_size((height, width)), sum(lengths) // len(lengths), max(lengths)


def memory_line(network: CountedNetwork, train: TrainConfig, sides: tuple[int, int], tokens: int) -> str:
    """At the largest scale, (short, long), with the longest text that was seen."""
    images = math.ceil(math.ceil(train.batch_size / train.workers) / train.accumulate)
    height, width = padded_size(sides)
    weights = network.weights_bytes(ema=train.ema > 0)
    activations = network.activations_bytes(images, height, width, tokens, train.checkpointing)
    return (
        f"memory    about {(weights + activations) / GB:.1f} GB a worker: {weights / GB:.1f} weights, gradients and"
        f" optimiser, {activations / GB:.1f} for {images} images of {height} x {width} and {tokens} tokens"
    )


def hours_line(io: RunIO, folder: str, train: TrainConfig, flops: float) -> str:
    """What is left, at the rate of the last log; else the whole, at an assumed share of what the devices can do.

    flops: of one image, forward and backward.
    """
    log = f"{folder}/{FILE}"
    if log in io.files(folder):
        with io.open(log) as stream:
            last = json.loads(stream.read().splitlines()[-1])
        rate, left = last["samples_per_second"], train.steps - last["step"]
        return f"hours     {left * train.batch_size / rate / 3600:.1f} left at {rate:.1f} samples/s, as measured"
    peak, whose = peak_of(train)
    work = train.steps * train.batch_size * flops * (RECOMPUTING if train.checkpointing else 1.0)
    hours = work / (peak * SHARE * train.workers) / 3600
    workers = f"{train.workers} worker" + "s" * (train.workers > 1)
    return f"hours     about {hours:,.1f} with {workers} at {SHARE:.0%} of the peak of {whose}"


def peak_of(train: TrainConfig) -> tuple[float, str]:
    """FLOP/s of the device that is trained on, or of a usual GPU where it is not here, and in words which it is."""
    try:
        device = torch.device(resolve_device(train.device))
    except DeviceError:
        return 1e12 * PEAKS[USUAL][train.precision != "fp32"], f"an {USUAL}, as no GPU is here"
    peak = peak_flops(device, train.precision)
    if peak is None:
        return 1e12 * PEAKS[USUAL][train.precision != "fp32"], f"an {USUAL}, as that of this GPU is not known"
    return peak, "this device"
