"""Everything that only a GPU can tell, in one command of at most nine minutes, most important first.

    python -m benchmarks.gpu                 # the same as: bash benchmarks/gpu.sh
    python -m benchmarks.gpu --rehearse      # all sections at tiny size on a CPU, about a minute

Each section runs in a process of its own, prints one line, and is written to --out at once; a second start goes on with
what is missing, on the same kind of device: from --out, or from --known where files of an earlier start do not stay. A
section that fails, or takes much longer than its estimate, keeps the rows that it had until then, and is tried again by
the next start. A section whose estimate no longer fits into --minutes is skipped with a line, and so is one whose
packages or data are not at hand: benchmarks/gpu_wheels.py brings them along. docs/teacher.md has the predictions that
the figures are held against.

The result has `device`, and for each model {images_per_second, precision, batch_size, rows}: the best bf16 rate from
JPEG bytes to boxes, of the same photos with the same captions for all; `parity`, `drift`, `kernel`, `trace`, `run`,
`training`, and where their stages are there `clip`, `sam` and `embedding`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_scale import said_so_far, say_found
from benchmarks.gpu_sections import SECTIONS, Absent, Section
from benchmarks.record import ROOT, processor_name

OUT = ROOT / "benchmarks" / "results" / "gpu.json"
MINUTES = 9.0
SLACK = 1.6  # times its estimate that a section may take before it is ended


class Ended(Exception):
    """A section that did not come to its end; `found` is what it had until then."""

    def __init__(self, why: str, found: dict[str, Any]) -> None:
        super().__init__(why)
        self.found = found


def main() -> None:
    """Command line: see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a JSON file that a second start goes on with [benchmarks/results]")
    parser.add_argument("--known", type=Path, help="what an earlier start found, where --out is not there yet")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="when to be done")
    parser.add_argument("--only", nargs="+", choices=[section.name for section in SECTIONS], help="these sections")
    parser.add_argument("--rehearse", action="store_true", help="tiny, on a CPU; writes nowhere without --out")
    parser.add_argument("--section", choices=[section.name for section in SECTIONS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.section:  # the process of one section
        say_found(chosen([options.section])[0].run(options.rehearse))
        return
    if not options.rehearse and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; --rehearse runs all sections at tiny size on a CPU")
    out = options.out or (None if options.rehearse else OUT)
    run_all(chosen(options.only), out, options.minutes * 60, options.rehearse, options.known)


def chosen(names: list[str] | None) -> list[Section]:
    return [section for section in SECTIONS if names is None or section.name in names]


def run_all(
    sections: list[Section], out: Path | None, seconds: float, rehearse: bool = False, known: Path | None = None
) -> dict[str, Any]:
    """Runs what is missing in `out`, or in `known`, as far as the time goes, and returns all that is known then."""
    start, result = time.monotonic(), begun(out, rehearse, known)
    keep(result, out)
    for section in sections:
        left = seconds - (time.monotonic() - start)
        if section.name in result["sections"]:
            said = "done before"
        elif not rehearse and section.seconds > left:
            said = f"skipped: takes some {section.seconds} s, and {max(0, left):.0f} s are left"
        else:
            said = measured(section, result, left, rehearse)
            keep(result, out)
        say(f"{section.name}: {said}")
    return result


def measured(section: Section, result: dict[str, Any], left: float, rehearse: bool) -> str:
    """Runs a section and adds what it found to the result; a line about it. What failed is tried again next time."""
    before = time.monotonic()
    try:
        found = section.run(True) if rehearse else in_process(section, min(left, SLACK * section.seconds))
    except Absent as absent:
        return f"skipped: {absent}"
    except Ended as ended:
        add(result, ended.found)
        return f"failed: {ended}" + (f"; until then {section.line(ended.found)}" if ended.found else "")
    add(result, found)
    result["sections"][section.name] = round(time.monotonic() - before, 1)
    return section.line(found)


def add(result: dict[str, Any], found: dict[str, Any]) -> None:
    for name, value in found.items():
        result[name] = joined(result.get(name, {}), value["rows"]) if set(value) == {"rows"} else value


def joined(known: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows of a model from several sections, the latest of each kind, and above them the figures of the best."""
    kind = ("mode", "precision", "batch_size")
    latest = {tuple(row.get(key) for key in kind): row for row in [*known.get("rows", []), *rows]}
    done = [row for row in latest.values() if "images_per_second" in row]
    best = max(done, key=lambda row: float(row["images_per_second"]), default={})
    return {
        **{key: best[key] for key in ("images_per_second", "precision", "batch_size", "mode") if best},
        "rows": list(latest.values()),
    }


def in_process(section: Section, limit: float) -> dict[str, Any]:
    """A section's result, from a process of its own: whatever goes wrong on the device ends with it, and with all that
    it has started. Raises Ended and Absent."""
    process = subprocess.Popen(
        command(section), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        raise Ended(f"not done after {limit:.0f} s", said_so_far(out)) from None
    last = (err.strip() or "no word").splitlines()[-1]
    if process.returncode and last.startswith(f"{Absent.__module__}.{Absent.__name__}: "):
        raise Absent(last.partition(": ")[2])
    if process.returncode:
        raise Ended(last, said_so_far(out))
    return said_so_far(out)


def command(section: Section) -> list[str]:
    return [sys.executable, "-m", "benchmarks.gpu", "--section", section.name]


def begun(out: Path | None, rehearse: bool, known: Path | None = None) -> dict[str, Any]:
    """What an earlier start found on the same kind of device, or an empty result."""
    device = f"rehearsal on {processor_name()}" if rehearse else torch.cuda.get_device_name()
    for earlier in (out, known):
        if earlier and earlier.exists():
            found: dict[str, Any] = json.loads(earlier.read_text(encoding="utf-8"))
            if found.get("device") == device:
                return found
            say(f"{earlier} is of another device ({found.get('device')}): beginning anew")
    return {
        "what": "rates, parity, drift and training of the teacher on one GPU",
        "command": "bash benchmarks/gpu.sh",
        "device": device,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda},
        "date": date.today().isoformat(),
        "sections": {},
    }


def keep(result: dict[str, Any], out: Path | None) -> None:
    """Writes the whole result in one step."""
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_name(out.name + ".part")
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        part.replace(out)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
