"""Rates of the networks that look at labels a second time, where their stages are there: CLIP, SAM, embeddings.

Network alone, in bf16, with random weights at published sizes, on pixels that are on the device: what the stage can
reach at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch

from benchmarks.gpu_scale import Absent, Scale
from model.device import autocast

REPEATS = 10


def clip(of: Scale) -> dict[str, Any]:
    """Crops per second of CLIP ViT-L/14: `rescore`."""
    transformers = library("rescore", "stages.rescore")
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    large = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    config = transformers.CLIPVisionConfig(**(small if of.small else large), image_size=224, patch_size=14)
    model = transformers.CLIPVisionModelWithProjection(config).eval().to(of.device)
    batch = 2 if of.small else 256
    pixels = torch.randn(batch, 3, 224, 224, device=of.device)
    return {"clip": {"model": "ViT-L/14", "crops_per_second": per_second(lambda: model(pixels), batch, of)}}


def embedding(of: Scale) -> dict[str, Any]:
    """Images per second of an encoder of whole images, DINOv2 ViT-B/14: duplicates and clusters of `curate`."""
    transformers = library("embeddings of curate", "stages.curate")
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2} if of.small else {}
    config = transformers.Dinov2Config(**small, image_size=224, patch_size=14)
    model = transformers.Dinov2Model(config).eval().to(of.device)
    batch = 2 if of.small else 256
    pixels = torch.randn(batch, 3, 224, 224, device=of.device)
    rate = per_second(lambda: model(pixels), batch, of)
    return {"embedding": {"model": "DINOv2 ViT-B/14", "images_per_second": rate}}


def sam(of: Scale) -> dict[str, Any]:
    """Images per second of SAM ViT-B with 8 boxes each: `mask`."""
    transformers = library("mask", "stages.mask")
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "global_attn_indexes": [0]}
    side = 64 if of.small else 1024
    vision = transformers.SamVisionConfig(**(small if of.small else {}), image_size=side)
    prompt = transformers.SamPromptEncoderConfig(image_size=side, image_embedding_size=side // 16)
    config = transformers.SamConfig(vision_config=vision.to_dict(), prompt_encoder_config=prompt.to_dict())
    model = transformers.SamModel(config).eval().to(of.device)
    batch, boxes = (1, 2) if of.small else (4, 8)
    pixels = torch.randn(batch, 3, side, side, device=of.device)
    prompts = torch.tensor([0.1, 0.1, 0.6, 0.5], device=of.device).mul(side).expand(batch, boxes, 4)
    rate = per_second(lambda: model(pixels, input_boxes=prompts, multimask_output=False), batch, of)
    return {"sam": {"model": "SAM ViT-B", "boxes_per_image": boxes, "images_per_second": rate}}


def library(name: str, stage: str) -> Any:
    """The transformers library, for a stage that is there. Raises Absent."""
    if find_spec(stage) is None:
        raise Absent(f"the stage of {name} is not there yet")
    try:
        import transformers
    except ImportError as error:
        raise Absent(str(error)) from error
    return transformers


@torch.inference_mode()
def per_second(run: Callable[[], Any], batch: int, of: Scale) -> float:
    """Of some runs after one to warm up."""
    cuda, repeats = of.device == "cuda", 1 if of.small else REPEATS
    with autocast(torch.device(of.device), of.precision):
        run()
        if cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        if cuda:
            torch.cuda.synchronize()
    return round(batch * repeats / (time.perf_counter() - start), 1)
