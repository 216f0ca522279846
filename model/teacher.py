"""What a teacher is: a model that finds the boxes of a caption's phrases, or of category names, in images.

`Grounder` is what the scheduler (scheduler.py) runs in batches; a `Teacher` can also be opened from the label section
of a config, by the name under which teachers/__init__.py lists it.

A grounder first turns a text into `Work`: one or more prompts, each an input of its network, and the phrases that
cannot be asked for, each with a reason code of `schemas.reasons.DROPPED_PHRASE`: its limits on text show there and
nowhere else. Images and their prompts then come in batches, each of one bucket. Whatever it computes for an image must
not depend on the other images of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:  # nothing is imported where only a `Description` is wanted
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from model.images import Size
    from model.outputs import Grounding
    from schemas.config import LabelConfig

NON_FINITE = "non_finite_scores"  # why an image has no result: see `Grounding.failed`
OVER_LIMIT = "phrase_over_token_limit"  # why a phrase cannot be asked for: see `Work.dropped`
NO_TOKENS = "phrase_without_tokens"

Span = tuple[int, int]  # [start, end), characters of a caption
Image: TypeAlias = "NDArray[np.uint8]"  # (H, W, 3) RGB
Turn: TypeAlias = Callable[[], "list[Grounding]"]


class Prompt(Protocol):
    """One input of a teacher's network; what else it holds is the teacher's own affair."""

    @property
    def phrases(self) -> Sequence[int]:
        """Indices of the caller's phrases, or categories, that are looked for in this prompt."""
        ...


P = TypeVar("P", bound=Prompt)


class Work(NamedTuple, Generic[P]):
    """What is looked for in an image."""

    prompts: Sequence[P]
    dropped: Sequence[tuple[int, str]] = ()  # phrases that cannot be looked for, and why


class Query(NamedTuple):
    """One image of a batch."""

    image: Any  # as `prepare` made it
    size: Size  # (H, W) of the image before that: boxes are in its pixels
    prompts: Sequence[Any]  # of its `Work`; never empty


class Grounder(Protocol):
    """A model that grounds batches of images."""

    notes: Mapping[str, str] = MappingProxyType({})
    """For commit records: what was chosen when it was opened, and why."""

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        ...

    def caption_work(self, caption: str, spans: Sequence[Sequence[Span]]) -> Work[Any]:
        """The phrases of a caption, each a list of character spans [start, end) of it."""
        ...

    def category_work(self, categories: Sequence[str], per_prompt: int | None = None) -> Work[Any]:
        """Category names, for detection; at most `per_prompt` of them in a prompt. A phrase is a name's index."""
        ...

    def bucket(self, size: Size, prompts: Sequence[Any]) -> Hashable:
        """Only images whose buckets are equal share a batch. `size`: (H, W) of the image as it is given; this must be
        known before the image is loaded. Raises ValueError for an image without pixels."""
        ...

    def prepare(self, image: Image) -> Any:
        """The image as `ground` takes it, resized for instance. Called in threads, ahead of the device."""
        ...

    def ground(self, batch: Sequence[Query], score_floor: float) -> Iterator[Turn]:
        """Grounds a batch of one bucket, in as many turns as it takes, e.g. one for each prompt of an image.

        A turn is yielded once its work is under way: a function that waits for it and returns a `Grounding` for each
        image of the batch, in order, empty where the turn was not about that image. Boxes are half-open, in pixels of
        the given image, with scores at or above `score_floor`; `phrase` is an index of the caller's; `failed` a code
        of `schemas.reasons.REJECTED`. While the host selects the boxes of one turn, the device has the next one.

        Where memory runs out, whatever raises it must do so here and not in the function: the batch is then halved.
        """
        ...


class Teacher(Grounder, Protocol):
    """A grounder that is opened from the label section of a config: `TeacherClass(label)`, ready to work, on its device
    and at its precision. Raises OSError or `model.checkpoint.WeightsError` where its weights cannot be read."""

    def __init__(self, label: LabelConfig) -> None: ...

    @classmethod
    def weights(cls, label: LabelConfig) -> Path | None:
        """The file or folder that the teacher is opened from, `label.weights` or its own; None where it has none.

        This default is for a teacher without weights. Raises TeacherError, or OSError for a file that is not there.
        """
        reject_settings(label, {"weights": None, "revision": None})
        return None

    @classmethod
    def tuned(cls, label: LabelConfig) -> Path | None:
        """The file of tuned weights beside them, `label.tuned`. Raises TeacherError.

        This default is for a teacher that `phrasebox tune` does not adapt.
        """
        reject_settings(label, {"tuned": None})
        return None

    @classmethod
    def defaults(cls, label: LabelConfig) -> dict[str, Any]:
        """What fields of the section come to that are left open: `variant`, `short` and `long`. Raises TeacherError.

        This default is for a teacher that takes images as they are and computes at one precision.
        """
        nothing = {"short": None, "long": None, "precision": "fp32", "deform": "auto", "compile": False}
        reject_settings(label, nothing)
        return {}


@dataclass(frozen=True)
class Description:
    """Where labels come from, for commit records, shards, evaluations and the report."""

    name: str  # the teacher's, in the config
    variant: str  # the architecture
    weights: str | None  # sha256 of the file or folder; None: the teacher has none
    tuned: str | None = None  # sha256 of the tuned weights beside them, where there are any

    @classmethod
    def of(cls, label: LabelConfig) -> Description:
        """Of the resolved label section."""
        return cls(label.teacher, label.variant or label.teacher, label.weights_sha256, label.tuned_sha256)

    def to_json(self) -> dict[str, str | None]:
        """By name; `tuned` only where there is something: what was made before tuning was there stays current."""
        own = {"name": self.name, "variant": self.variant, "weights": self.weights}
        return own if self.tuned is None else {**own, "tuned": self.tuned}

    def __str__(self) -> str:
        weights = f"{self.variant}@{self.weights[:12]}" if self.weights else self.variant
        return f"{weights}+{self.tuned[:12]}" if self.tuned else weights


class TeacherError(ValueError):
    """A label section that no teacher can be opened from; the message names the key and the remedy."""


def reject_settings(label: LabelConfig, defaults: dict[str, Any]) -> None:
    """Raises TeacherError where a setting that the teacher does not have is not at its default."""
    for name, default in defaults.items():
        if getattr(label, name) != default:
            raise TeacherError(f"label.{name}: the teacher {label.teacher} takes none; leave it out")
