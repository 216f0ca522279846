"""The sections of benchmarks/gpu.py, most important first, each with an estimate of its seconds on an H100.

An estimate counts the start of a process (some 10 s) and the making of weights (5 s for GLIP-T, 10 s for GLIP-L).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import gpu_checks, gpu_others, gpu_rates, gpu_training
from benchmarks.gpu_scale import Absent, Scale, scale

__all__ = ["SECTIONS", "Absent", "Section"]


@dataclass(frozen=True)
class Section:
    """What is measured in one process."""

    name: str
    seconds: int  # that it takes, about
    measure: Callable[[Scale], dict[str, Any]]
    line: Callable[[dict[str, Any]], str]  # what is worth saying of its result

    def run(self, rehearse: bool) -> dict[str, Any]:
        return self.measure(scale(rehearse))


def of_parity(found: dict[str, Any]) -> str:
    cases = {name: own for name, own in found["parity"].items() if name not in ("limits", "glip-nano")}
    ways = [f"{name} {way} {said_of(case)}" for name, own in cases.items() for way, case in own.items()]
    nano = found["parity"]["glip-nano"]
    return ", ".join([f"glip-nano keeps {nano['kept']} of {nano['boxes_above_0.5']} labels of the CPU", *ways])


def said_of(case: dict[str, Any]) -> str:
    return case.get("failed") or ("within limits" if case["within_limits"] else f"off: logits {case['token_logits']}")


def of_kernel(found: dict[str, Any]) -> str:
    if failed := found["kernel"].get("failed"):
        return str(failed)
    row = found["kernel"]["rows"][0]
    times = [f"{kind} {row[f'{kind}_ms_plain']} to {row[f'{kind}_ms_kernel']} ms" for kind in ("forward", "backward")
             if f"{kind}_ms_plain" in row]  # fmt: skip
    return ", ".join([f"P3 in {row['precision']} {row['forward_relative_difference']} apart", *times])


def of_rates(found: dict[str, Any]) -> str:
    ((_, own),) = found.items()
    return ", ".join(
        f"{row['mode']} {row['batch_size']}: {row['images_per_second']} images/s"
        if "images_per_second" in row
        else f"{row['mode']}: {row['failed']}"
        for row in own["rows"]
    )


def of_training(found: dict[str, Any]) -> str:
    rows = [row for row in found["training"]["rows"] if "failed" not in row]
    return ", ".join(
        f"{row['samples_per_second']:.2f} samples/s, {row['memory_gib']:.1f} GiB, MFU {row['mfu'] or 0:.2f}, "
        f"data wait {row['data_wait_share']:.1%}{', checkpointing' if row['checkpointing'] else ''}"
        for row in rows
    ) or "out of memory"  # fmt: skip


def of_trace(found: dict[str, Any]) -> str:
    first = found["trace"]["kernels"][0]
    return f"{found['trace']['busy_ms_per_image']} ms an image; first {first['name'][:40]} {first['share']:.0%}"


def of_run(found: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {own['pairs']} pairs in {own['seconds']} s" for name, own in found["run"].items())


def of_drift(found: dict[str, Any]) -> str:
    beside = found["drift"]["beside_fp32"]
    return ", ".join(f"{name} keeps {own['kept']} of {own['boxes_above_0.5']}" for name, own in beside.items())


def plainly(found: dict[str, Any]) -> str:
    ((_, own),) = found.items()
    return ", ".join(f"{key} {value}" for key, value in own.items())


def glip(name: str, seconds: int, *modes: str, of: str | None = None) -> Section:
    return Section(name, seconds, partial(gpu_rates.glip_rates, of or name, modes), of_rates)


def detector(name: str, seconds: int, family: str) -> Section:
    return Section(name, seconds, partial(gpu_rates.detector_rates, name, family), of_rates)


SECTIONS = (
    Section("parity", 45, gpu_checks.parity, of_parity),
    Section("kernel", 35, gpu_checks.kernel, of_kernel),
    glip("glip-t", 75, "plain", "kernel"),
    Section("grounding-dino-t", 60, gpu_rates.grounding_dino_rates, of_rates),
    Section("training", 75, gpu_training.training, of_training),
    Section("trace", 30, gpu_rates.trace, of_trace),
    Section("drift", 30, gpu_checks.drift, of_drift),
    Section("run", 45, gpu_training.whole_run, of_run),
    glip("glip-l", 65, "plain", "kernel"),
    glip("glip-nano", 20, "plain"),
    glip("glip-photos", 20, "plain"),
    glip("glip-t-compiled", 110, "compiled", of="glip-t"),
    detector("llmdet-t", 35, "mm-grounding-dino"),
    detector("owlv2-base", 30, "owlv2"),
    detector("omdet-turbo-t", 30, "omdet-turbo"),
    Section("clip", 20, gpu_others.clip, plainly),
    Section("sam", 25, gpu_others.sam, plainly),
    Section("embedding", 20, gpu_others.embedding, plainly),
    glip("glip-l-compiled", 150, "compiled", of="glip-l"),  # the last: compiling takes most of it
)
