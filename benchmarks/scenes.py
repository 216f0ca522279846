"""How fast scenes are drawn: pairs per second on one core, JPEG encoding included, and the memory it takes.

python -m benchmarks.scenes --count 3000 --out benchmarks/results/scenes.json
"""

import argparse
import os
import platform
import resource
import time
from datetime import date
from pathlib import Path

import numpy
import PIL

from benchmarks.record import processor_name, publish
from stages.synthetic import draw_scene


def measure(split: str, count: int, warm_up: int) -> dict[str, float]:
    """Draws `count` scenes after a warm-up that fills the sprite cache; rates by wall clock and by CPU time."""
    start = time.perf_counter()
    draw_scene(split, 0, 0)
    first = time.perf_counter() - start
    for index in range(warm_up):
        draw_scene(split, 1, index)
    wall, processor = time.perf_counter(), time.process_time()
    size = sum(len(draw_scene(split, 0, index).jpeg) for index in range(count))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return {
        "pairs_per_second": round(count / wall, 1),
        "pairs_per_cpu_second": round(count / processor, 1),
        "first_scene_seconds": round(first, 3),
        "mean_jpeg_bytes": round(size / count),
    }


def main() -> None:
    """Command line: see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--warm-up", type=int, default=500)
    parser.add_argument("--split", default="web")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = {
        "command": f"python -m benchmarks.scenes --split {options.split} --count {options.count}"
        f" --warm-up {options.warm_up}",
        "date": date.today().isoformat(),
        "device": f"{processor_name()}, one process, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), "numpy": numpy.__version__, "pillow": PIL.__version__},
        "goal_pairs_per_second": 300,
        **measure(options.split, options.count, options.warm_up),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
