"""One row of benchmarks/teacher.py: a model, a device, a precision and a batch size, from JPEG bytes to boxes."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import grounding_dino, teacher_flops
from benchmarks.official_weights import SHARED, official_state
from model import grounding
from model.device import PRECISIONS, forbid_tf32
from model.dyhead import DyConv
from model.glip import Glip, Request
from model.images import padded_size, resized_size
from model.prompt import MAX_TOKENS, caption_prompts, pad
from stages.images import decode_rgb
from stages.phrases import NounPhraseExtractor
from stages.synthetic import draw_scene
from stages.train.flops import peak_flops

PHOTOS = SHARED / "data" / "coco-mini"
FLOOR = 0.1  # the label stage's score floor
PROFILED = 6  # batches that the idle share is measured on


@dataclass(frozen=True)
class Case:
    """What is measured in a process of its own, so that memory is its own too."""

    model: str  # glip-t, glip-t-plain, glip-nano or grounding-dino-t
    device: str
    precision: str
    batch_size: int
    count: int  # images
    warm_up: int
    threads: int = 1
    compile: bool = False


@dataclass(frozen=True)
class Pair:
    """A JPEG with its caption and phrases."""

    jpeg: bytes
    size: tuple[int, int]  # (H, W)
    caption: str
    spans: list[list[tuple[int, int]]]


def photos(count: int) -> list[Pair]:
    """The photos of coco-mini with the phrases of their captions, one caption after the other, over and over."""
    coco = json.loads((PHOTOS / "captions.json").read_text())
    images = {image["id"]: image for image in coco["images"]}
    rounds: list[list[Any]] = [[], [], [], [], []]  # first captions, second captions, ...
    seen: dict[int, int] = {}
    for caption in coco["annotations"]:
        turn = seen[caption["image_id"]] = seen.get(caption["image_id"], -1) + 1
        if turn < len(rounds):
            rounds[turn].append(caption)
    captions = [caption for own in rounds for caption in own][:count]
    phrases = NounPhraseExtractor("auto").extract([caption["caption"] for caption in captions])
    pairs = []
    for caption, own in zip(captions, phrases, strict=True):
        image = images[caption["image_id"]]
        jpeg = (PHOTOS / "images" / image["file_name"]).read_bytes()
        spans = [[(phrase.start, phrase.end)] for phrase in own]
        pairs.append(Pair(jpeg, (image["height"], image["width"]), caption["caption"], spans))
    return [pairs[i % len(pairs)] for i in range(count)]


def scenes(count: int) -> list[Pair]:
    """Scenes of the embedded default with their own phrases."""
    drawn = [draw_scene("web", 5, index) for index in range(count)]
    return [Pair(one.jpeg, (one.height, one.width), one.caption, [[span] for span in one.spans]) for one in drawn]


def measure(case: Case) -> dict[str, Any]:
    """The row: the case and its figures."""
    torch.set_num_threads(case.threads)
    forbid_tf32()  # fp32 is fp32, of every model
    pairs = scenes(case.count) if case.model == "glip-nano" else photos(case.count)
    run, watched = prepare(case)
    cuda, glip = case.device.startswith("cuda"), case.model != "grounding-dino-t"
    peak = peak_flops(torch.device(case.device), case.precision)  # with the threads of the case
    consume(run(pairs[: case.warm_up]))
    forget_peak()
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    clock = Clock(watched, cuda)
    start = time.perf_counter()
    boxes = consume(run(pairs))
    seconds = time.perf_counter() - start  # boxes are on the host: nothing is left to wait for
    inside = clock.seconds()
    looked_at = sum(bool(pair.spans) for pair in pairs) if glip else len(pairs)  # ours runs no batch for the others
    row = {
        **asdict(case),
        "images_per_second": round(len(pairs) / seconds, 3),
        "seconds": round(seconds, 3),
        "share_of_time_outside_the_model": round(1 - inside / seconds, 4),
        "images_per_batch": round(looked_at * len(watched) / len(clock.spans), 2),
        "boxes_per_image": round(boxes / len(pairs), 1),
        "peak_memory_mib": torch.cuda.max_memory_allocated() >> 20 if cuda else resident(),
    }
    if glip:
        row["gflop_per_image"] = round(sum(gflop(case, pair) for pair in pairs) / len(pairs), 2)
        row["tflop_per_second"] = round(row["gflop_per_image"] * row["images_per_second"] / 1000, 4)
        if peak:
            row["peak_tflop_per_second"] = round(peak / 1e12, 3)
    if cuda:
        row["device_idle_share"] = round(idle_share(partial(run, pairs[: case.batch_size * PROFILED])), 4)
        row["waits_for_the_device_per_batch"] = waits(partial(run, pairs[: case.batch_size]))
    return row


def consume(results: Iterable[int]) -> int:
    return sum(results)


def forget_peak() -> None:
    """Lets the kernel count the largest resident set anew: making up weights takes more memory than using them."""
    with suppress(OSError):  # where it cannot, the peak is that of the whole process
        Path("/proc/self/clear_refs").write_text("5")


def resident() -> int:
    """Largest resident set of this process since `forget_peak`, MiB."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peak = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), None)  # KiB
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if peak is None else peak) // 1024


def prepare(case: Case) -> tuple[Callable[[Sequence[Pair]], Iterator[int]], list[nn.Module]]:
    """A function from pairs to boxes per image, and the modules in which time counts as the model's."""
    if case.model == "grounding-dino-t":
        dino, processor = grounding_dino.make()
        dino.to(case.device)

        def run(pairs: Sequence[Pair]) -> Iterator[int]:
            given = [(pair.jpeg, pair.caption) for pair in pairs]
            return grounding_dino.ground(dino, processor, given, case.batch_size, PRECISIONS[case.precision])

        return run, [dino]
    glip = teacher(case)
    plain = case.model == "glip-t-plain"
    if plain:
        teacher_flops.unfold(glip)

    def ground(pairs: Sequence[Pair]) -> Iterator[int]:
        samples = (
            Request(pair.size, partial(decode_rgb, pair.jpeg, 10**8), caption_prompts(pair.caption, pair.spans))
            for pair in pairs
        )
        with padded_text(plain):
            for _, found in glip.stream(samples, FLOOR):
                yield len(found.boxes)

    return ground, [glip.backbone, glip.language_backbone, glip.rpn.head]


def teacher(case: Case) -> Glip:
    """GLIP-T with the weights of the fill rule (every phrase finds as many boxes as it may), or the packaged nano."""
    if case.model == "glip-nano":
        glip = Glip.pretrained()
    else:
        glip = Glip.from_official("glip-t", official_state("glip_t_c"))
    glip.precision, glip.batch_size = case.precision, case.batch_size
    glip.to(case.device)
    if case.compile:
        for module in glip.modules():
            if isinstance(module, DyConv):
                module.compile(dynamic=True)
    return glip


@contextmanager
def padded_text(on: bool) -> Iterator[None]:
    """Prompts padded to 256 tokens, as the official code does."""
    if not on:
        yield
        return

    def pad_all(ids: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        input_ids, mask = pad(ids, device)
        more = (0, MAX_TOKENS - input_ids.shape[1])
        return nn.functional.pad(input_ids, more), nn.functional.pad(mask, more)

    grounding.pad = pad_all
    try:
        yield
    finally:
        grounding.pad = pad


def gflop(case: Case, pair: Pair) -> float:
    """Of one image, alone in its batch: padding of its text to its neighbours' is not counted as work done."""
    name = "glip-nano" if case.model == "glip-nano" else "glip-t"
    sides = (192, 320) if name == "glip-nano" else (800, 1333)
    height, width = padded_size(resized_size(pair.size, sides))
    prompts, _ = caption_prompts(pair.caption, pair.spans)
    plain = case.model == "glip-t-plain"
    return sum(teacher_flops.estimate(name, height, width, len(prompt.ids), plain) for prompt in prompts)


class Clock:
    """Time spent in some modules: CUDA events on a GPU, the wall clock else."""

    def __init__(self, modules: Sequence[nn.Module], cuda: bool) -> None:
        self.cuda = cuda
        self.spans: list[tuple[Any, Any]] = []
        self.started: list[Any] = []
        for module in modules:
            module.register_forward_pre_hook(self._enter)
            module.register_forward_hook(self._leave)

    def _now(self) -> Any:
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _enter(self, *_: Any) -> None:
        self.started.append(self._now())

    def _leave(self, *_: Any) -> None:
        self.spans.append((self.started.pop(), self._now()))

    def seconds(self) -> float:
        """Seconds inside, up to now."""
        if not self.cuda:
            return sum(end - start for start, end in self.spans)
        torch.cuda.synchronize()
        return sum(start.elapsed_time(end) for start, end in self.spans) / 1000


def idle_share(run: Callable[[], Iterable[int]]) -> float:
    """Share of the time between first and last kernel in which none ran; the profiler's own cost included."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as recorded:
        consume(run())
        torch.cuda.synchronize()
    ranges = sorted(
        (event.time_range.start, event.time_range.end)
        for event in recorded.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
    )
    busy, reached = 0.0, ranges[0][0]
    for start, end in ranges:
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return 1 - busy / (reached - ranges[0][0])


def waits(run: Callable[[], Iterable[int]]) -> int:
    """How often one batch makes the host wait for the device, its result's arrival not counted."""
    import warnings

    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            consume(run())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught)


def main() -> None:
    """One case as JSON on the command line; its row as JSON on the last line of stdout."""
    sys.stdout.write("\n" + json.dumps(measure(Case(**json.loads(sys.argv[1])))) + "\n")


if __name__ == "__main__":
    main()
