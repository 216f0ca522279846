"""The detectors of transformers as a teacher: `label: {teacher: transformers, weights: ..., revision: ...}`.

Which family a checkpoint belongs to follows from the `model_type` of its config.json. To add a family, write a file
with a `Detector` (detector.py) and list it in FAMILIES.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from model.checkpoint import WeightsError
from model.device import autocast, resolve_device, to_host
from model.hub import Checkpoint, HubError, fetch, read_json
from model.images import Size
from model.outputs import Grounding
from model.selection import Settings, suppress_by_group
from model.teacher import NON_FINITE, Image, Query, Span, Teacher, TeacherError, Turn, Work, reject_settings
from model.teachers.detector import Detector

if TYPE_CHECKING:
    from pathlib import Path

    from schemas.config import LabelConfig

FAMILIES: dict[str, str] = {
    "grounding-dino": "model.teachers.grounding_dino:GroundingDino",
    "mm-grounding-dino": "model.teachers.grounding_dino:GroundingDino",  # LLMDet too
    "owlv2": "model.teachers.owl:Owlv2",
    "owlvit": "model.teachers.owl:OwlVit",
    "omdet-turbo": "model.teachers.omdet_turbo:OmDetTurbo",
}
EACH_PHRASE = Settings(limits_per_phrase=True)  # NMS and the limits of GLIP, for each phrase on its own
TOO_SMALL = "image_too_small_for_teacher"


class TransformersTeacher(Teacher):
    """Weights are a checkpoint as `model.hub.fetch` finds it: a folder, or an id of the hub."""

    def __init__(self, label: LabelConfig) -> None:
        folder = checkpoint(label).folder
        family = family_of(folder)
        size = self.defaults(label)
        self._device = torch.device(resolve_device(label.device))
        self.precision = label.precision
        self.pixels = family.pixels(folder, size["short"], size["long"])
        self.detector = family(folder, self._device)

    @classmethod
    def weights(cls, label: LabelConfig) -> Path:
        return checkpoint(label).folder

    @classmethod
    def defaults(cls, label: LabelConfig) -> dict[str, Any]:
        """The family, the commit of the hub, and the size of images that the checkpoint was made for."""
        reject_settings(label, {"deform": "auto", "compile": False})
        found = checkpoint(label)
        try:
            pixels = family_of(found.folder).pixels(found.folder, label.short, label.long)
        except WeightsError as error:
            raise TeacherError(f"label.weights: {error}") from error
        if pixels.square and pixels.short != pixels.long:
            raise TeacherError(
                f"label.short, label.long: {pixels.short} and {pixels.long}, but {label.weights} takes square images"
            )
        variant = read_json(found.folder / "config.json")["model_type"]
        return {"variant": variant, "revision": found.revision, "short": pixels.short, "long": pixels.long}

    @property
    def device(self) -> torch.device:
        return self._device

    def caption_work(self, caption: str, spans: Sequence[Sequence[Span]]) -> Work[Any]:
        return self.detector.caption_work(caption, spans)

    def category_work(self, categories: Sequence[str], per_prompt: int | None = None) -> Work[Any]:
        return self.detector.category_work(categories, per_prompt)

    def bucket(self, size: Size, prompts: Sequence[Any]) -> Hashable:
        """Only images of one prepared size share a batch, so that none is padded because of another."""
        if min(size) < 1:
            raise ValueError(f"an image of {size[0]} x {size[1]} (height x width) has no pixels")
        return self.pixels.prepared(size), self.detector.bucket(prompts)

    def prepare(self, image: Image) -> Image:
        return self.pixels.prepare(image)

    def ground(self, batch: Sequence[Query], score_floor: float) -> Iterator[Turn]:
        """The images are encoded once; each turn asks the next prompt of every image that has one."""
        if not self.detector.fits(self.pixels.prepared(batch[0].size)):
            yield lambda: [Grounding.empty(failed=TOO_SMALL) for _ in batch]
            return
        pixels = self.pixels.batch([query.image for query in batch], self.device)  # (B, 3, h, w)
        with autocast(self.device, self.precision):
            images = self.detector.encode(pixels)
        for turn in range(max(len(query.prompts) for query in batch)):
            asked = {row: query.prompts[turn] for row, query in enumerate(batch) if turn < len(query.prompts)}
            with autocast(self.device, self.precision):
                found = self.detector.predict(images, list(asked), list(asked.values()))
            yield partial(self._collect, batch, asked, to_host(found), score_floor)

    def _collect(
        self,
        batch: Sequence[Query],
        asked: dict[int, Any],
        arrived: Callable[[], list[Tensor]],
        score_floor: float,
    ) -> list[Grounding]:
        """What is found in the images of a batch, of which some were asked, each one prompt: `asked`, by its place."""
        results = [Grounding.empty() for _ in batch]
        boxes, scores = arrived()
        for (row, prompt), own, probabilities in zip(asked.items(), boxes, scores, strict=True):
            probabilities = probabilities[:, : len(prompt.phrases)]  # (Q, K)
            if not (own.isfinite().all() and probabilities.isfinite().all()):
                results[row] = Grounding.empty(failed=NON_FINITE)
                continue
            corners = in_pixels(own, batch[row].size, self.pixels.extent(batch[row].size))
            found = best(corners, probabilities, score_floor)
            results[row] = Grounding(found.boxes, found.scores, torch.tensor(prompt.phrases)[found.phrase])
        return results


def checkpoint(label: LabelConfig) -> Checkpoint:
    """Raises TeacherError."""
    if find_spec("transformers") is None:
        raise TeacherError("label.teacher: transformers needs the package transformers, which is not installed")
    if label.weights is None:
        raise TeacherError("label.weights: the teacher transformers needs a checkpoint, a folder or an id of the hub")
    try:
        return fetch(label.weights, label.revision)
    except HubError as error:
        raise TeacherError(f"label.weights: {error}") from error


def family_of(folder: Path) -> type[Detector]:
    """Raises WeightsError for a checkpoint of no family that is listed."""
    config = read_json(folder / "config.json")
    name = config.get("model_type")
    if name not in FAMILIES:
        raise WeightsError(f"{folder}: a checkpoint of {name!r}; there are {', '.join(FAMILIES)}")
    if config.get("backbone") is not None:  # the library would ask the hub what this is
        raise WeightsError(
            f"{folder}: its backbone is only named ({config['backbone']}); where the package timm is installed, open"
            " the checkpoint with from_pretrained and save it again with save_pretrained, which describes it"
        )
    module, _, attribute = FAMILIES[name].partition(":")
    family: type[Detector] = getattr(importlib.import_module(module), attribute)
    return family


def in_pixels(boxes: Tensor, size: Size, extent: Size) -> Tensor:
    """Boxes (Q, 4) as a network predicts them -> half-open corners in an image of (H, W), clipped to it."""
    centre, sides = boxes.split(2, dim=1)
    corners = torch.cat([centre - sides / 2, centre + sides / 2], dim=1) * boxes.new_tensor([extent[1], extent[0]] * 2)
    return corners.clamp(min=0).minimum(boxes.new_tensor([size[1], size[0]] * 2))


def best(boxes: Tensor, scores: Tensor, score_floor: float) -> Grounding:
    """What NMS and the limits leave, as GLIP's are for each phrase. boxes (Q, 4), scores (Q, K); empty boxes go."""
    real = (boxes[:, 2:] > boxes[:, :2]).all(1)
    place, phrase = (scores.masked_fill(~real[:, None], -1) >= score_floor).nonzero(as_tuple=True)
    found = scores[place, phrase]
    order = found.argsort(descending=True, stable=True)
    place, phrase, found = place[order], phrase[order], found[order]
    legacy = boxes[place] - boxes.new_tensor([0, 0, 1, 1])  # NMS counts the last pixel in
    keep = torch.from_numpy(suppress_by_group(legacy.numpy(), phrase.numpy(), EACH_PHRASE))
    return Grounding(boxes[place[keep]], found[keep], phrase[keep])
