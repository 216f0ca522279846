"""The teacher's speed from JPEG bytes to boxes, beside what one would use instead.

    python -m benchmarks.teacher                                    # on the CPU: some minutes
    python -m benchmarks.teacher --devices cuda --precisions bf16 fp16 fp32 --batch-sizes 4 8 16 32

Real photos of ../shared/data/coco-mini at 800 x up to 1333 pixels with their real captions and the phrases that the
default extractor finds in them. In the same run: GLIP-T (weights of the parity fill rule, with which every phrase finds
as many boxes as it may: the worst case for post-processing), the same model as the official code runs it (nothing
folded, text padded to 256 tokens), Grounding DINO (Swin-T, random weights) of transformers with its own processor, and
glip-nano on scenes. Each row is measured in a process of its own, after a warm-up on images of the same sizes.

gflop_per_image: two per multiply-add (benchmarks/teacher_flops.py), for the caption's own tokens. fraction_of_peak: of
the device's data sheet; of a CPU, of the most that a product of two matrices reached in the process of any row.
share_of_time_outside_the_model: of the whole time, from the first byte to the last box, what does not pass inside
backbone, language and head. device_idle_share: between first and last kernel of six batches, while the profiler looks
on. peak_memory_mib: from the end of the warm-up on; of a CPU the resident set, with the weights. Ratios compare the
best rows of each model.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import ROOT, command_line, processor_name
from benchmarks.teacher_measure import Case

MODELS = ("glip-t", "glip-t-plain", "grounding-dino-t", "glip-nano")
OUT_OF_MEMORY = "out of memory"


def cases(options: argparse.Namespace) -> list[Case]:
    """Every combination; as many images as the device does in reasonable time."""
    found = []
    for device in options.devices:
        for model in options.models:
            for precision in options.precisions:
                for size in options.batch_sizes:
                    gpu, nano = device.startswith("cuda"), model == "glip-nano"
                    count = options.count or (1024 if gpu else 256 if nano else 3)
                    warm_up = min(count, max(4 * size, 512) if gpu else 32 if nano else 1)  # most shapes, once
                    variants = [False, True] if options.compile and model == "glip-t" else [False]
                    threads = 8 if gpu else options.threads
                    found += [Case(model, device, precision, size, count, warm_up, threads, on) for on in variants]
    return found


def measured(case: Case) -> dict[str, Any]:
    """The row of a case, or what went wrong with it."""
    command = [sys.executable, "-m", "benchmarks.teacher_measure", json.dumps(asdict(case))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        row: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return row
    last = (done.stderr.strip().splitlines() or ["no word"])[-1]
    return {**asdict(case), "failed": OUT_OF_MEMORY if "out of memory" in last.lower() else last}


def with_fractions(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with their share of the device's peak.

    A CPU's peak is measured with every row. Other work on the machine can only lower it, so the highest of equal
    device, precision and threads counts for all of these.
    """

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["device"], row["precision"], row["threads"]

    measured_peaks = [(key(row), row["peak_tflop_per_second"]) for row in rows if "peak_tflop_per_second" in row]
    peaks = dict(sorted(measured_peaks))  # of equal keys the last one stays, the highest
    return [
        {**row, "peak_tflop_per_second": peaks[key(row)],
         "fraction_of_peak": round(row["tflop_per_second"] / peaks[key(row)], 4)}
        if "peak_tflop_per_second" in row else row
        for row in rows
    ]  # fmt: skip


def best(rows: list[dict[str, Any]], model: str, device: str) -> float | None:
    """The most images per second of a model on a device, over precisions and batch sizes."""
    rates = [row["images_per_second"] for row in rows if (row["model"], row["device"]) == (model, device)
             and "failed" not in row]  # fmt: skip
    return max(rates, default=None)


def ratios(rows: list[dict[str, Any]], device: str) -> dict[str, float | None]:
    """GLIP-T over each alternative, best rows."""
    ours = best(rows, "glip-t", device)
    found = {}
    for other in ("grounding-dino-t", "glip-t-plain"):
        theirs = best(rows, other, device)
        found[f"glip-t / {other}"] = round(ours / theirs, 2) if ours and theirs else None
    return found


def name_of(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else processor_name()


def versions() -> dict[str, str]:
    import PIL
    import transformers

    found = {"python": platform.python_version(), "torch": torch.__version__}
    return {**found, "transformers": transformers.__version__, "pillow": PIL.__version__}


def main() -> None:
    """Command line: see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", nargs="+", default=["cpu"])
    parser.add_argument("--precisions", nargs="+", default=["fp32"], choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--count", type=int, default=None, help="images of every row; 3, or 1,024 on a GPU")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads, where the device is the CPU")
    parser.add_argument("--compile", action="store_true", help="GLIP-T also with a compiled head")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for case in cases(options):
        rows.append(measured(case))
        sys.stdout.write(json.dumps(rows[-1]) + "\n")
        sys.stdout.flush()
    result = {
        "what": "images per second from JPEG bytes to boxes",
        "command": command_line("benchmarks.teacher"),
        "protocol": " ".join((__doc__ or "").split("\n\n", 2)[2].split()),
        "rows": with_fractions(rows),
        "ratios": {device: ratios(rows, device) for device in options.devices},
        "devices": {device: name_of(device) for device in options.devices},
        "versions": versions(),
        "date": date.today().isoformat(),
    }
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.stdout.write(json.dumps(result["ratios"]) + "\n")


if __name__ == "__main__":
    main()
