"""GLIP as a teacher: every variant of variants.py by its name, with its packaged weights or those of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.checkpoint import packaged_weights, sha256
from model.deform_choice import settle
from model.device import resolve_device
from model.glip import Glip
from model.grounding import GlipGrounder
from model.teacher import Teacher, TeacherError, reject_settings
from model.tuning import Tuned
from model.variants import get_variant

if TYPE_CHECKING:
    from schemas.config import LabelConfig


class GlipTeacher(GlipGrounder, Teacher):
    """Weights are a `.safetensors` or `.pth` file in the official layout."""

    def __init__(self, label: LabelConfig) -> None:
        weights = self.weights(label)
        glip = Glip.from_file(label.teacher, weights)
        tuned = self.tuned(label)
        if tuned is not None:
            Tuned.load(tuned).apply(glip, sha256(weights))
        glip.precision = label.precision
        size = self.defaults(label)
        super().__init__(glip.to(resolve_device(label.device)), (size["short"], size["long"]))
        choice = settle(glip, label.deform)
        if glip.device.type == "cuda":
            self.notes = {"deform": f"{choice.name}: {choice.why}"}
        if label.compile:
            glip.compile_blocks()

    @classmethod
    def weights(cls, label: LabelConfig) -> Path:
        reject_settings(label, {"revision": None})
        path = Path(label.weights) if label.weights else packaged_weights(label.teacher)
        if path.is_dir():
            raise TeacherError(f"label.weights: {label.teacher} is opened from a file, and {path} is a folder")
        return path

    @classmethod
    def tuned(cls, label: LabelConfig) -> Path | None:
        return Path(label.tuned) if label.tuned else None

    @classmethod
    def defaults(cls, label: LabelConfig) -> dict[str, Any]:
        """The size of images that the variant was made for."""
        variant = get_variant(label.teacher)
        return {"variant": variant.name, "short": label.short or variant.short, "long": label.long or variant.long}
