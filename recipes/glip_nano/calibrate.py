"""From trained weights to those in the package: half precision, and 0.5 put where labels are 91% right.

    python -m recipes.glip_nano.calibrate runs/teacher_second/student/weights.safetensors

The loss does not know which score a user will ask for. One number of the model shifts all scores alike, the bias of the
alignment (`bias0`, log-odds). It is lowered in steps until labels above 0.5 reach the precision asked for, on images
of the gold split that the training did not draw (another seed); the held-out split is not looked at. The weights go to
--out, the shift and what each step gave to standard output.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from model.checkpoint import packaged_weights
from model.glip import Glip
from model.grounding import GlipGrounder
from model.scheduler import Scheduler
from stages.evaluate.scenes import chunks, judge_scenes
from stages.evaluate.tally import Tally
from stages.images import decode_rgb
from stages.phrases import NounPhraseExtractor
from stages.synthetic import NOUNS

STEP = 0.05  # log-odds
STEPS = 20


def agreement(model: Scheduler, count: int, seed: int) -> dict[str, Any]:
    """Precision and recall of labels above 0.5 on scenes of the gold split, of the nouns that the split shows."""
    tier = {noun.name: noun.tier for noun in NOUNS}
    tally = Tally()
    extractor = NounPhraseExtractor("auto")
    for scenes in chunks("gold", seed, count):
        images = [decode_rgb(scene.jpeg, 10_000_000) for scene in scenes]
        judge_scenes(model, extractor, scenes, images, tier, {"seen": tally})
    return tally.at(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--precision", type=float, default=0.91)
    parser.add_argument("--count", type=int, default=500, help="images")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--out", type=Path, default=packaged_weights("glip-nano"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    glip = Glip.from_file("glip-nano", options.weights)
    model = Scheduler(GlipGrounder(glip, (glip.variant.short, glip.variant.long)))
    for step in range(STEPS):
        at = agreement(model, options.count, options.seed)
        figures = f"precision {at['precision']:.4f}, recall {at['recall']:.4f} of {at['gold']} boxes"
        sys.stdout.write(f"shift {-STEP * step:.2f}: {figures}\n")
        if at["precision"] >= options.precision:
            glip.save(options.out, torch.float16)
            return
        with torch.no_grad():
            glip.rpn.head.bias0 -= STEP
    sys.exit(f"no shift down to {-STEP * (STEPS - 1):.2f} reaches {options.precision}; nothing was written")


if __name__ == "__main__":
    main()
