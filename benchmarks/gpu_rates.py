"""Images per second from JPEG bytes to boxes, of GLIP in all its ways and of other teachers, and where the time goes.

All models see the same photos with the same captions, decoded by the same threads; only the library's own way with
Grounding DINO uses its own processor. Weights are made up, so that nothing has to be downloaded.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks import grounding_dino
from benchmarks.gpu_scale import Absent, Scale, pairs, recordings, so_far
from benchmarks.official_weights import official_state
from benchmarks.teacher_measure import FLOOR, PROFILED, Pair, consume, idle_share, waits
from model.deform_choice import settle
from model.device import PRECISIONS, DeviceError, forbid_tf32
from model.glip import Glip
from model.grounding import GlipGrounder
from model.scheduler import Request, Scheduler
from model.teacher import Grounder
from model.teachers import TEACHERS, teacher_class
from stages.images import decode_rgb

WEIGHTS = {"glip-t": "glip_t_c", "glip-l": "glip_l"}  # by the fill rule of ../shared/parity
DEFORM = {"plain": "plain", "kernel": "triton", "compiled": "auto"}  # by mode
KERNELS = 15  # of the trace

Run = Callable[[Sequence[Pair]], Iterator[int]]


def glip_rates(name: str, modes: Sequence[str], of: Scale) -> dict[str, Any]:
    """One row for each mode and batch size; a mode that this machine cannot run says why."""
    rows: list[dict[str, Any]] = []
    glip, sides = make_glip(name, of)
    for mode in modes if name == "glip-t" or not of.small else modes[:1]:  # the interpreter is slow
        try:
            settle(glip, DEFORM[mode])
        except DeviceError as error:
            rows.append({"mode": mode, "failed": str(error)})
            continue
        if mode == "compiled":
            glip.compile_blocks("eager" if of.small else "inductor")
        teacher = GlipGrounder(glip, sides)
        rows += rates(lambda size, teacher=teacher: partial(through, teacher, size), name, mode, of)
        so_far({name: {"rows": rows}}, of)
    return {name: {"rows": rows}}


def make_glip(name: str, of: Scale) -> tuple[Glip, tuple[int, int]]:
    """The variant with weights by the fill rule, or its packaged ones, ready to work; and the sides of its images."""
    forbid_tf32()
    if of.small or name not in WEIGHTS:
        glip = Glip.pretrained("glip-nano" if of.small else name)
    else:
        recordings()
        glip = Glip.from_official(name, official_state(WEIGHTS[name]))
    glip.precision = of.precision
    return glip.to(of.device).eval(), of.sides or (glip.variant.short, glip.variant.long)


def through(teacher: Grounder, batch_size: int, given: Sequence[Pair]) -> Iterator[int]:
    """From pairs to boxes per image, by the scheduler, as `phrasebox label` runs any teacher."""
    requests = (
        Request(pair.size, partial(decode_rgb, pair.jpeg, 10**8), teacher.caption_work(pair.caption, pair.spans))
        for pair in given
    )
    for _, found in Scheduler(teacher, batch_size).stream(requests, FLOOR):
        yield len(found.boxes)


def rates(make: Callable[[int], Run], name: str, mode: str, of: Scale) -> list[dict[str, Any]]:
    """A row for each batch size; where memory runs out, the larger ones are left out."""
    given = pairs("scenes" if name == "glip-nano" else "photos", of.images, of)
    rows: list[dict[str, Any]] = []
    for size in of.batch_sizes:
        row: dict[str, Any] = {"mode": mode, "precision": of.precision, "batch_size": size}
        try:
            rows.append({**row, **rate(make(size), given, size == of.middle, size, of)})
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            return [*rows, {**row, "failed": "out of memory"}]
    return rows


def rate(run: Run, given: list[Pair], closely: bool, size: int, of: Scale) -> dict[str, Any]:
    """Images per second of all pairs, after a warm-up; `closely`: what the device does meanwhile, too."""
    cuda = of.device == "cuda"
    consume(run(given[: of.warm_up]))
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    boxes = consume(run(given))
    seconds = time.perf_counter() - start
    row: dict[str, Any] = {
        "images_per_second": round(len(given) / seconds, 2),
        "boxes_per_image": round(boxes / len(given), 1),
    }
    if cuda:
        row["peak_memory_mib"] = torch.cuda.max_memory_allocated() >> 20
    if cuda and closely:
        row["device_idle_share"] = round(idle_share(partial(run, given[: size * PROFILED])), 4)
        row["waits_for_the_device_per_batch"] = waits(partial(run, given[:size]))
    return row


def grounding_dino_rates(of: Scale) -> dict[str, Any]:
    """Grounding DINO (Swin-T) by transformers' own processor, and as a teacher of ours where there is one."""
    try:
        model, processor = grounding_dino.make(small=of.small)
    except ImportError as error:
        raise Absent(str(error)) from error
    forbid_tf32()
    sizes = {"size": {"shortest_edge": of.sides[0], "longest_edge": of.sides[1]}} if of.sides else {}
    model.to(of.device)

    def library(batch_size: int) -> Run:
        def run(given: Sequence[Pair]) -> Iterator[int]:
            jpegs = [(pair.jpeg, pair.caption) for pair in given]
            return grounding_dino.ground(model, processor, jpegs, batch_size, PRECISIONS[of.precision], **sizes)

        return run

    rows = rates(library, "grounding-dino-t", "transformers", of)
    so_far({"grounding-dino-t": {"rows": rows}}, of)
    if "transformers" in TEACHERS:
        model.to("cpu")
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            processor.save_pretrained(folder)
            teacher = as_teacher(folder, of, of.sides)
        rows += rates(lambda size: partial(through, teacher, size), "grounding-dino-t", "teacher", of)
    return {"grounding-dino-t": {"rows": rows}}


def detector_rates(name: str, family: str, of: Scale) -> dict[str, Any]:
    """Another detector of transformers as a teacher of ours, with random weights at its published size and its own size
    of images; with batches of the middle size alone."""
    from benchmarks.detectors import write_checkpoint

    forbid_tf32()
    one = replace(of, batch_sizes=(of.middle,), precision="fp32" if of.small else of.precision)  # fp16 crawls on a CPU
    words = [word for pair in pairs("photos", one.images, one) for word in pair.caption.split()]
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(family, words, Path(folder), one.small)
        teacher = as_teacher(folder, one, None)
    return {name: {"rows": rates(lambda size: partial(through, teacher, size), name, "teacher", one)}}


def as_teacher(folder: str, of: Scale, sides: tuple[int, int] | None) -> Any:
    """A checkpoint in the hub's layout as the label stage would open it; sides: of images, None: the checkpoint's."""
    short, long = sides or (None, None)
    label = SimpleNamespace(
        **{"teacher": "transformers", "weights": folder, "revision": None, "weights_sha256": None, "variant": None},
        **{"device": of.device, "precision": of.precision, "short": short, "long": long, "threads": 1},
        **{"deform": "auto", "compile": False},
    )
    return teacher_class("transformers")(label)  # type: ignore[arg-type]


def trace(of: Scale) -> dict[str, Any]:
    """The operators that take most of the device's time, over some batches of GLIP-T as it labels."""
    from torch.profiler import ProfilerActivity, profile

    glip, sides = make_glip("glip-t", of)
    choice = settle(glip, "auto")
    run = partial(through, GlipGrounder(glip, sides), of.middle)
    given = pairs("photos", of.middle * (1 if of.small else PROFILED), of)
    consume(run(given))
    cuda = of.device == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as recorded:
        consume(run(given))
        if cuda:
            torch.cuda.synchronize()
    key = "self_device_time_total" if cuda else "self_cpu_time_total"
    events = [(getattr(event, key), event) for event in recorded.key_averages()]
    spent = sorted(((time, event) for time, event in events if time > 0), key=lambda one: -one[0])  # no launches
    total = sum(time for time, _ in spent)
    return {
        "trace": {
            "model": "glip-t",
            "batch_size": of.middle,
            "images": len(given),
            "deform": choice._asdict(),
            "busy_ms_per_image": round(total / 1000 / len(given), 3),
            "kernels_per_image": round(sum(event.count for _, event in spent) / len(given), 1),
            "kernels": [
                {"name": event.key[:120], "share": round(time / total, 4), "calls": event.count}
                for time, event in spent[:KERNELS]
            ],
        }
    }
