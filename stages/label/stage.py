"""pairs + phrases -> labels: the teacher grounds each caption's phrases in its image.

Everything at or above the score floor is kept, so that another threshold needs no teacher.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar

from model.teacher import Description
from schemas.marks import device_type
from stages.label.rows import Row, label_table, read_rows
from stages.label.several import config_of, folder_of, other_names
from stages.label.teacher import open_scheduler, resolve_device, resolve_teacher
from stages.stage import Counts, Input, MapStage, Needs, Output, PartIO, PartResult, RowError, Stage, reject_rows

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from model.outputs import Grounding
    from model.scheduler import Request, Scheduler
    from schemas.config import Config


class LabelStage(MapStage):
    name: ClassVar[str] = "label"
    version: ClassVar[int] = 1
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("pairs", ("key", "sha256")),
        Input("phrases", ("key", "caption", "phrases.start", "phrases.end")),
    )
    outputs: ClassVar[tuple[Output, ...]] = (Output("labels"),)
    depends_on: ClassVar[tuple[str, ...]] = ("label",)

    def __init__(self, config: Config) -> None:
        self.config = config.label
        self.max_pixels: int = config.ingest.max_pixels
        self._scheduler: Scheduler | None = None

    @classmethod
    def siblings(cls, config: Config) -> tuple[type[Stage], ...]:
        return tuple(map(cls.sibling, other_names(config.label)))

    @classmethod
    def sibling(cls, member: str) -> type[Stage]:
        return other_teacher(member)

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        device = config.label.device
        return {"device": resolve_device(device) if device == "auto" else device, **resolve_teacher(config)}

    @classmethod
    def digests(cls, config: Config) -> dict[str, Any]:
        tuned = config.label.tuned_sha256
        return {"weights": config.label.weights_sha256, **({} if tuned is None else {"tuned": tuned})}

    @classmethod
    def needs(cls, config: Config) -> Needs:
        return Needs(gpu=device_type(config.label.device) == "cuda", actor=True)  # the teacher stays loaded

    @property
    def scheduler(self) -> Scheduler:
        """Of the teacher, which stays loaded."""
        if self._scheduler is None:
            self._scheduler = open_scheduler(self.config)
        return self._scheduler

    def run_part(self, io: PartIO) -> PartResult:
        rows = read_rows(io)
        with_image = [row for row in rows if row.image is not None]
        unreadable: dict[str, RowError] = {}
        rejected: list[tuple[str, str, RowError]] = []
        found: dict[int, Grounding] = {}
        scheduler = self.scheduler
        requests = self._requests(io, with_image, unreadable)
        for number, grounding in scheduler.stream(requests, self.config.score_floor):
            row = with_image[number]
            if grounding.failed == "out_of_memory":  # lies in the machine, not in the data
                raise MemoryError(f"{row.key}: the teacher ran out of memory with this image alone")
            if row.key in unreadable:
                rejected.append((row.key, row.source_id, unreadable[row.key]))
            elif grounding.failed:
                rejected.append((row.key, row.source_id, RowError(grounding.failed, "in the teacher's output")))
            else:
                found[number] = grounding
            io.progress(1)
        io.write(self.outputs[0].folder, label_table(with_image, found).table)
        io.write(f"rejects/{self.name}", reject_rows(self.name, sorted(rejected, key=lambda row: row[0])))
        without_image = len(rows) - len(with_image)
        set_aside = {"no_image": without_image} if without_image else {}
        counts = Counts(len(rows), len(found), len(rejected), set_aside)
        teacher = scheduler.teacher
        notes = {**machine_notes(teacher.device), **teacher.notes, **scheduler.notes([row.key for row in with_image])}
        return PartResult(counts, {"teacher": Description.of(self.config).to_json(), **notes})

    def _requests(self, io: PartIO, rows: list[Row], unreadable: dict[str, RowError]) -> Iterator[Request]:
        """What the teacher is asked, row by row. Why an image cannot be had is left in `unreadable`, by key."""
        from model.scheduler import Request

        teacher = self.scheduler.teacher
        refs = [row.image for row in rows if row.image is not None]
        for row, data in zip(rows, io.image_bytes(refs), strict=True):
            load = partial(self._load, row, data, unreadable)
            yield Request(row.size, load, teacher.caption_work(row.caption, row.spans))

    def _load(self, row: Row, data: bytes | RowError, unreadable: dict[str, RowError]) -> NDArray[np.uint8] | None:
        """The image (H, W, 3); None where it cannot be read or decoded, or is not the one that ingest saw."""
        from stages.images import check_sha256, decode_rgb

        try:
            image = decode_rgb(check_sha256(data, row.sha256), self.max_pixels)
            if image.shape[:2] != row.size:
                raise RowError("image_changed", f"{image.shape[:2]} pixels (h, w), recorded {row.size}")
        except RowError as error:
            unreadable[row.key] = error
            return None
        return image


class OtherTeacherStage(LabelStage):
    """The labels of one of the further teachers of `label.teachers`. The class of each is made by `other_teacher`."""

    teacher: ClassVar[str]

    def __init__(self, config: Config) -> None:
        super().__init__(config_of(config, self.teacher))

    @classmethod
    def siblings(cls, config: Config) -> tuple[type[Stage], ...]:
        return ()

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        """The label stage resolves all teachers."""
        return {}

    @classmethod
    def settings(cls, config: Config) -> dict[str, Any]:
        return super().settings(config_of(config, cls.teacher))


@cache
def other_teacher(name: str) -> type[Stage]:
    """The stage of one further teacher."""
    of_this_one = {
        "name": f"label-{name}",
        "teacher": name,
        "outputs": (Output(folder_of(name)),),
        "__module__": __name__,
    }
    return type(f"{LabelStage.__qualname__}@{name}", (OtherTeacherStage,), of_this_one)


def machine_notes(device: torch.device) -> dict[str, Any]:
    """For the commit record: the memory that the part took at most."""
    import resource

    import torch

    notes: dict[str, Any] = {"peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    if device.type == "cuda":
        notes["peak_device_memory_mib"] = torch.cuda.max_memory_allocated(device) >> 20
    return notes
