"""What half precision does to the teacher's results, beside fp32 on the same device.

    python -m benchmarks.teacher_drift [--out benchmarks/results/teacher_drift.json]

`head_outputs`: the parity cases of ../shared/parity with their made-up weights, which are the harder test: logits and
deformable offsets spread widely, so that rounding is amplified where trained weights damp it. Differences of token
logits (real tokens), box regression and centerness, and how many of the detections in fp32 have a partner of the same
phrase (IoU > 0.9, score within 0.02). `labels`: the packaged glip-nano on held-out scenes, as labels are made. Beside
fp32, the same for its boxes above 0.5, and how far the scores of partners are apart at most; the goal is 99% kept, with
scores less than 0.02 apart. `batch_8_beside_1`: what sharing a batch with others does to them, in each precision.
"""

from __future__ import annotations

import argparse
import json
import platform
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.official_weights import PARITY, official_state
from benchmarks.record import processor_name, publish
from model.checkpoint import packaged_weights, sha256
from model.device import forbid_tf32
from model.geometry import pairwise_iou
from model.glip import Glip
from model.head import postprocess
from model.outputs import Grounding, HeadOutput
from stages.images import decode_rgb
from stages.synthetic import draw_scene

HALVES = ("bf16", "fp16")
VARIANTS = {"c_ground": ("glip-t", "glip_t_c"), "a_ground": ("glip-t-a", "glip_t_a"), "l_ground": ("glip-l", "glip_l")}


@torch.inference_mode()
def of_case(name: str, device: str) -> dict[str, Any]:
    """The drift of one parity case, by precision."""
    arrays = np.load(PARITY / f"{name}.npz")
    meta = json.loads(str(arrays["meta"]))
    glip = Glip.from_official(VARIANTS[name][0], official_state(VARIANTS[name][1], meta["seed"])).to(device)
    given = [torch.from_numpy(arrays[key]).to(device) for key in ("padded", "input_ids", "attention_mask")]
    sizes = [(int(h), int(w)) for h, w in arrays["image_sizes"].reshape(-1, 2)]
    maps = [[own[str(label)] for label in range(1, len(own) + 1)] for own in meta["label_to_tokens"]]

    def run(precision: str) -> tuple[list[HeadOutput], list[Grounding]]:
        glip.precision = precision
        outputs = glip.head_outputs(*given)
        return outputs, postprocess(outputs, sizes, maps)

    full, wanted = run("fp32")
    length = full[0].token_logits.shape[2]
    real = given[2][:, :length].bool()[:, None].cpu()
    found: dict[str, Any] = {}
    for precision in HALVES:
        outputs, boxes = run(precision)
        logits = torch.cat([(x.token_logits - y.token_logits).abs() for x, y in zip(outputs, full, strict=True)], 1)
        logits = logits.cpu().masked_select(real)
        figures = {
            "logits_mean": float(logits.mean()),
            "logits_p99": float(np.quantile(logits.numpy(), 0.99)),
            "logits_max": float(logits.max()),
        }
        for kind in ("box_regression", "centerness"):
            own = [(getattr(x, kind) - getattr(y, kind)).abs().flatten() for x, y in zip(outputs, full, strict=True)]
            figures[f"{kind}_mean"], figures[f"{kind}_max"] = float(torch.cat(own).mean()), float(torch.cat(own).max())
        agreed = [kept(one, other) for one, other in zip(wanted, boxes, strict=True)]
        found[precision] = {key: float(f"{value:.3g}") for key, value in figures.items()} | {
            "detections": sum(total for total, _, _ in agreed),
            "detections_kept": sum(count for _, count, _ in agreed),
        }
    found["logits_standard_deviation"] = round(float(torch.cat([x.token_logits for x in full], 1).std()), 2)
    return found


def kept(full: Grounding, half: Grounding, above: float = 0.0) -> tuple[int, int, float]:
    """Boxes above a score; how many have a partner (phrase, IoU > 0.9, score within 0.02); the worst score difference
    to the best partner in IoU."""
    high = full.scores > above
    iou = pairwise_iou(full.boxes[high], half.boxes) * (full.phrase[high, None] == half.phrase)
    difference = (full.scores[high, None] - half.scores).abs()
    near = (iou > 0.9) & (difference < 0.02)
    if not near.numel():
        return int(high.sum()), 0, 0.0
    partner = iou.max(1)
    apart = difference.gather(1, partner.indices[:, None])[partner.values > 0.9]
    return int(high.sum()), int(near.any(1).sum()), float(apart.max()) if len(apart) else 0.0


def of_labels(count: int, device: str) -> dict[str, Any]:
    """What half precision, and what sharing a batch, does to the labels of glip-nano on `count` scenes."""
    glip = Glip.pretrained("glip-nano").to(device)
    scenes = [draw_scene("eval", 3, number) for number in range(count)]
    images = [decode_rgb(scene.jpeg, 10**7) for scene in scenes]
    captions, spans = [scene.caption for scene in scenes], [[[span] for span in scene.spans] for scene in scenes]

    def labels(precision: str, batch_size: int) -> list[Grounding]:
        glip.precision, glip.batch_size = precision, batch_size
        return glip.ground(images, captions, spans, 0.45)

    batched = {precision: labels(precision, 8) for precision in ("fp32", *HALVES)}
    return {
        "beside_fp32": {precision: agreement(batched["fp32"], batched[precision]) for precision in HALVES},
        "batch_8_beside_1": {precision: agreement(labels(precision, 1), own) for precision, own in batched.items()},
    }


def agreement(wanted: list[Grounding], found: list[Grounding]) -> dict[str, Any]:
    """Of the boxes above 0.5 that are wanted: how many are found, and how far their scores are apart at most."""
    agreed = [kept(one, other, 0.5) for one, other in zip(wanted, found, strict=True)]
    total, count = (sum(own[i] for own in agreed) for i in (0, 1))
    return {
        "boxes_above_0.5": total,
        "kept": count,
        "share": round(count / total, 4),
        "largest_score_difference": float(f"{max(own[2] for own in agreed):.2g}"),
    }


def main() -> None:
    """Command line: see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    forbid_tf32()  # fp32 is fp32
    result = {
        "what": "drift of bf16 and fp16 from fp32",
        "command": f"python -m benchmarks.teacher_drift --cases {' '.join(options.cases)} --scenes {options.scenes}"
        f" --device {options.device}",
        "protocol": " ".join((__doc__ or "").split("\n\n", 2)[2].split()),
        "head_outputs": {name: of_case(name, options.device) for name in options.cases},
        "labels": {
            "scenes": options.scenes,
            "weights_sha256": sha256(packaged_weights("glip-nano")),
            **of_labels(options.scenes, options.device),
        },
        "device": torch.cuda.get_device_name() if options.device == "cuda" else f"{processor_name()}, 1 thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": date.today().isoformat(),
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
