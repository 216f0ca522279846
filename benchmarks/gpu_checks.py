"""Whether a GPU computes what it should: parity with recordings, drift of half precision, and the kernel."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu_rates import make_glip
from benchmarks.gpu_scale import Scale, recordings
from benchmarks.official_weights import PARITY, official_state
from benchmarks.teacher_drift import agreement, kept, of_labels
from model.deform import deform_conv as plain
from model.deform_choice import kernel_for, seconds_of, settle
from model.device import PRECISIONS, DeviceError, autocast, forbid_tf32
from model.glip import Glip
from model.head import postprocess
from model.outputs import Grounding, HeadOutput
from stages.images import decode_rgb
from stages.synthetic import draw_scene

CASES = {"c_ground": ("glip-t", "glip_t_c"), "c_detect": ("glip-t", "glip_t_c"), "a_ground": ("glip-t-a", "glip_t_a")}
LIMITS = {"token_logits": 2e-3, "box_regression": 1e-3, "centerness": 1e-3}  # of ../shared/parity
LEVELS = range(3, 8)
MAPS = ((100, 168), (50, 84), (25, 42), (13, 21), (7, 11))  # P3 to P7 of an image of 800 x 1344
SMALL_MAPS = ((2, 3), (1, 2))


def parity(of: Scale) -> dict[str, Any]:
    """Largest differences from the official code's outputs, in fp32, by the plain path and by the kernel.

    In a rehearsal, and on a GPU too: those of glip-nano's labels from what the CPU finds.
    """
    forbid_tf32()
    found: dict[str, Any] = {"glip-nano": beside_the_cpu(of)}
    if not of.small:
        recordings()
        glips: dict[str, Glip] = {}
        for case, (variant, state) in CASES.items():
            if variant not in glips:
                glips = {variant: Glip.from_official(variant, official_state(state)).to(of.device)}
            found[case] = {way: of_recording(glips[variant], case, of, way) for way in ("plain", "triton")}
    return {"parity": {**found, "limits": LIMITS}}


def beside_the_cpu(of: Scale) -> dict[str, Any]:
    """The labels above 0.5 of the packaged glip-nano on scenes, in fp32, on the device and on the CPU."""
    scenes = [draw_scene("eval", 3, number) for number in range(of.scenes)]
    images = [decode_rgb(scene.jpeg, 10**7) for scene in scenes]
    captions, spans = [scene.caption for scene in scenes], [[[span] for span in scene.spans] for scene in scenes]
    found = [Glip.pretrained().to(device).ground(images, captions, spans, 0.45) for device in ("cpu", of.device)]
    return agreement(*found)


@torch.inference_mode()
def of_recording(glip: Glip, case: str, of: Scale, way: str) -> dict[str, Any]:
    """One recorded case: largest differences of the head's outputs, and detections that have a partner."""
    try:
        settle(glip, way)
    except DeviceError as error:
        return {"failed": str(error)}
    arrays = np.load(PARITY / f"{case}.npz")
    meta = json.loads(str(arrays["meta"]))
    given = [torch.from_numpy(arrays[key]).to(of.device) for key in ("padded", "input_ids", "attention_mask")]
    outputs = [HeadOutput(*(x.cpu() for x in level)) for level in glip.head_outputs(*given)]
    figures = dict.fromkeys(LIMITS, 0.0)
    for level, output in zip(LEVELS, outputs, strict=True):
        for name in ("box_regression", "centerness"):
            figures[name] = max(figures[name], apart(getattr(output, name), arrays[f"{name}_P{level}"]))
        for image, count in enumerate(meta["valid_tokens"]):
            own = output.token_logits[image, :, :count]
            figures["token_logits"] = max(figures["token_logits"], apart(own, arrays[f"dot_logits_{image}_P{level}"]))
    sizes = [(int(h), int(w)) for h, w in arrays["image_sizes"].reshape(-1, 2)]
    maps = [[own[str(label)] for label in range(1, len(own) + 1)] for own in meta["label_to_tokens"]]
    recorded = [
        Grounding(*(torch.from_numpy(arrays[f"{name}_{image}"]) for name in ("boxes", "scores", "phrase")))
        for image in range(len(sizes))
    ]
    partners = [kept(one, other) for one, other in zip(recorded, postprocess(outputs, sizes, maps), strict=True)]
    return {
        **{name: float(f"{value:.2g}") for name, value in figures.items()},
        "within_limits": all(figures[name] < limit for name, limit in LIMITS.items()),
        "detections": sum(total for total, _, _ in partners),
        "detections_kept": sum(count for _, count, _ in partners),
    }


def apart(found: Tensor, recorded: np.ndarray) -> float:
    return float((found - torch.from_numpy(recorded)).abs().max())


def drift(of: Scale) -> dict[str, Any]:
    """What bf16 and fp16 change in the labels of trained glip-nano weights, beside fp32 on the same device."""
    forbid_tf32()
    return {"drift": {"scenes": of.scenes, **of_labels(of.scenes, of.device)}}


def kernel(of: Scale) -> dict[str, Any]:
    """The deformable convolution, at the levels of an image of 800 x 1344 and by the width of GLIP-T: how far the
    kernel is from the plain path, and milliseconds of both, forward and with a backward pass."""
    try:
        operator = kernel_for(torch.device(of.device))
    except DeviceError as error:
        return {"kernel": {"failed": str(error)}}
    glip, _ = make_glip("glip-nano", of)
    channels = 16 if of.small else 256
    rows = []
    for precision in (of.precision, "fp32"):
        for height, width in SMALL_MAPS if of.small else MAPS:
            inputs = steering(of, channels, height, width, PRECISIONS[precision])
            row: dict[str, Any] = {"precision": precision, "map": [inputs[0].shape[0], height, width]}
            for backward in (False, True):
                row |= compared(inputs, operator, precision, backward, of)
            rows.append(row)
    return {"kernel": {"channels": channels, "choice_for_glip_nano": settle(glip, "auto")._asdict(), "rows": rows}}


def steering(of: Scale, channels: int, height: int, width: int, dtype: torch.dtype | None) -> list[Tensor]:
    """Map, offsets, masks, weights and bias of one convolution, for a batch of the middle size."""
    generator = torch.Generator().manual_seed(0)
    batch = 1 if of.small else of.middle
    maps = [
        torch.randn(batch, height, width, count, generator=generator).permute(0, 3, 1, 2) for count in (channels, 18, 9)
    ]
    weights = [torch.randn(*shape, generator=generator) * 0.02 for shape in ((channels, 9 * channels), (channels,))]
    x, offset, mask = (one.to(of.device, dtype) for one in maps)
    return [x, offset * 2, mask.sigmoid(), *(one.to(of.device) for one in weights)]


def compared(inputs: list[Tensor], kernel: Callable[..., Tensor], precision: str, backward: bool, of: Scale) -> Any:
    """Both ways: relative difference of all results, and milliseconds of each."""
    leaves = [x.detach().requires_grad_(backward) for x in inputs]

    def run(operator: Callable[..., Tensor]) -> list[Tensor]:
        with torch.set_grad_enabled(backward), autocast(torch.device(of.device), precision):
            out = operator(*leaves, 1)
        return list(torch.autograd.grad(out.float().square().sum(), leaves)) if backward else [out]

    wanted, found = run(plain), run(kernel)
    off = [float((x.float() - y.float()).norm() / y.float().norm()) for x, y in zip(found, wanted, strict=True)]
    kind = "backward" if backward else "forward"
    row: dict[str, Any] = {f"{kind}_relative_difference": float(f"{max(off):.2g}")}
    if of.device == "cuda":
        for name, operator in (("plain", plain), ("kernel", kernel)):
            row[f"{kind}_ms_{name}"] = round(1000 * seconds_of(lambda one=operator: run(one)[0]), 3)
    return row
