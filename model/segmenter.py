"""Masks from boxes: SAM, SAM-HQ, SAM 2 and EdgeTAM through transformers, prompted by boxes.

    segmenter = Segmenter.open("checkpoints/sam2.1-hiera-tiny", "cpu")
    for mask, score in segmenter.segment(image, boxes): ...  # in the order of the boxes

Each image is encoded once, and its boxes are decoded in chunks against that. An input has one size whatever the image:
SAM and SAM-HQ resize the long side and pad below and right, SAM 2 and EdgeTAM stretch to a square. Memory is therefore
bounded by the two batch sizes. A box's mask is the decoder's single-mask output (`multimask_output=False`), as
Grounded-SAM-2 takes it, enlarged to the image and cut at a logit of 0; its score is the IoU with the object that the
network predicts of it.

Pixels are prepared by code of our own, since the library's needs torchvision for SAM 2 and EdgeTAM; for SAM and SAM-HQ
it gives the same numbers as the library's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from model.device import autocast, forbid_tf32, resolve_device, send
from model.hub import CONFIG, HubError, read_json
from model.images import Size, resize
from model.pretrained import image_settings, open_network

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Boxes = NDArray[np.floating[Any]]  # (N, 4) x1, y1, x2, y2, pixels of the image

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet; where the checkpoint names no others


@dataclass(frozen=True)
class Family:
    """Models that are opened and prompted alike."""

    model: str  # name of the class in transformers
    stretches: bool  # images become squares; else the long side counts, and the rest is padding


SAM, SAM_HQ = Family("SamModel", False), Family("SamHQModel", False)
SAM2, EDGE_TAM = Family("Sam2Model", True), Family("EdgeTamModel", True)
FAMILIES = {  # by the `model_type` of a checkpoint; those for videos have all that an image needs, and more
    "sam": SAM,
    "sam_hq": SAM_HQ,
    "sam2": SAM2,
    "sam2_video": SAM2,
    "edgetam": EDGE_TAM,
    "edgetam_video": EDGE_TAM,
}


class Segment(NamedTuple):
    mask: NDArray[np.bool_]  # (H, W)
    score: float


class Segmenter:
    """A network of one of FAMILIES on its device. `boxes_per_pass` boxes of an image are decoded at a time."""

    def __init__(
        self, family: Family, network: Any, normalisation: tuple[Tensor, Tensor], precision: str, boxes_per_pass: int
    ) -> None:
        self.family = family
        self.side: int = network.config.prompt_encoder_config.image_size
        self.device: torch.device = network.device
        self.precision = precision
        self.boxes_per_pass = boxes_per_pass
        self._network = network
        self._mean, self._std = normalisation

    @classmethod
    def open(
        cls, folder: str | Path, device: str = "auto", precision: str = "fp32", boxes_per_pass: int = 32
    ) -> Segmenter:
        """Of a checkpoint's folder, which model.hub has checked. Raises HubError, DeviceError."""
        family = family_of(Path(folder))
        forbid_tf32()
        network = open_network(Path(folder), family.model).to(resolve_device(device))
        return cls(family, network, normalisation(Path(folder)), precision, boxes_per_pass)

    def segment(self, image: Image, boxes: Boxes) -> Iterator[Segment]:
        """A mask for each box (N, 4), in order. Nothing is computed where there is no box."""
        return next(self.segment_batch([image], [boxes]))

    def segment_batch(self, images: Sequence[Image], boxes: Sequence[Boxes]) -> Iterator[Iterator[Segment]]:
        """The same for several images, which are encoded together; each one's masks before those of the next.

        A mask depends on its own image and box, and on no others of the batch, but for rounding.
        """
        asked = [number for number, own in enumerate(boxes) if len(own)]
        embedded = iter(self._encode([images[number] for number in asked]))
        for image, own in zip(images, boxes, strict=True):
            yield self._decode(next(embedded), image.shape[:2], own) if len(own) else iter(())

    # -- images ----------------------------------------------------------------------------------------------------

    def prepare(self, image: Image) -> Tensor:
        """(H, W, 3) uint8 -> (3, side, side) float32, normalised, then padded with 0 where the family pads."""
        height, width = self.resized(image.shape[:2])
        pixels = torch.from_numpy(resize(image, (height, width)).copy()).permute(2, 0, 1) / 255.0  # (3, h, w)
        pixels = (pixels - self._mean) / self._std
        return F.pad(pixels, (0, self.side - width, 0, self.side - height))

    def resized(self, size: Size) -> Size:
        """(h, w) of an image of (H, W) in the input of the network."""
        if self.family.stretches:
            return self.side, self.side
        scale = self.side / max(size)
        height, width = (max(int(length * scale + 0.5), 1) for length in size)
        return height, width

    @torch.inference_mode()
    def _encode(self, images: Sequence[Image]) -> list[dict[str, Any]]:
        """What the decoder takes of each image."""
        if not images:
            return []
        pixels = send(torch.stack([self.prepare(image) for image in images]), self.device)  # (B, 3, side, side)
        with autocast(self.device, self.precision):
            if self.family is SAM_HQ:
                found = self._network.vision_encoder(pixels)
                embedded = {
                    "image_embeddings": found.last_hidden_state,
                    "intermediate_embeddings": list(found.intermediate_embeddings),
                }
            else:
                embedded = {"image_embeddings": self._network.get_image_embeddings(pixels)}
        return [{name: _row(value, number) for name, value in embedded.items()} for number in range(len(images))]

    # -- boxes -----------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _decode(self, embedded: dict[str, Any], size: Size, boxes: Boxes) -> Iterator[Segment]:
        """The masks (H, W) of an image of that size, chunk by chunk; only one at a time in the image's size.

        The score is NaN where the network gave numbers that are not finite.
        """
        for start in range(0, len(boxes), self.boxes_per_pass):
            prompts = self.prompts(boxes[start : start + self.boxes_per_pass], size)  # (1, N, 4)
            with autocast(self.device, self.precision):
                found = self._network(
                    input_boxes=send(prompts, self.device), multimask_output=False, **embedded
                )  # pred_masks (1, N, 1, h, w), iou_scores (1, N, 1)
            logits = found.pred_masks[0].float()  # (N, 1, h, w)
            sound = logits.isfinite().flatten(1).all(1)  # (N,)
            scores = found.iou_scores[0, :, 0].float().where(sound, torch.nan).tolist()
            for own, score in zip(logits, scores, strict=True):
                yield Segment(self.enlarge(own, size).cpu().numpy(), score)

    def prompts(self, boxes: Boxes, size: Size) -> Tensor:
        """Boxes (N, 4) of an image of (H, W) -> (1, N, 4) float32 in the pixels of the network's input."""
        height, width = self.resized(size)
        scale = np.array([width / size[1], height / size[0]] * 2)
        return torch.from_numpy(np.asarray(boxes, np.float64) * scale).float()[None]

    def enlarge(self, logits: Tensor, size: Size) -> Tensor:
        """(1, h, w) mask logits of the network's input -> (H, W), which pixels of the image are inside."""
        whole = logits[None]
        if not self.family.stretches:
            height, width = self.resized(size)
            whole = F.interpolate(whole, (self.side, self.side), mode="bilinear", align_corners=False)
            whole = whole[..., :height, :width]  # without the padding
        whole = F.interpolate(whole, size, mode="bilinear", align_corners=False)
        return whole[0, 0] > 0


def _row(value: Any, number: int) -> Any:
    """One image of what is encoded: of a tensor, or of each tensor of a list."""
    if isinstance(value, list | tuple):
        return [_row(entry, number) for entry in value]
    return value[number : number + 1]


# -- checkpoints -------------------------------------------------------------------------------------------------------


def family_of(folder: Path) -> Family:
    """Raises HubError for a checkpoint of another kind of model."""
    kind = read_json(folder / CONFIG).get("model_type")
    if kind not in FAMILIES:
        raise HubError(f"{folder}: a model of the type {kind!r} cuts out no boxes; there are {', '.join(FAMILIES)}")
    return FAMILIES[kind]


def normalisation(folder: Path) -> tuple[Tensor, Tensor]:
    """Mean and deviation of a pixel of 0..1, (3, 1, 1) each: the checkpoint's own, else ImageNet's."""
    settings = image_settings(folder) or {}
    mean, std = settings.get("image_mean") or MEAN, settings.get("image_std") or STD
    return torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
