"""pairs + phrases + labels -> scores: a second opinion on labels, by an image-text model such as CLIP or SigLIP.

For each image its cosine with its caption, and for each candidate box that of its crop with its phrase; with
`relabel`, also the best of the caption's phrases for each crop. Raw cosines are kept, so that every threshold of the
filter can be another one later. A text is embedded once for a part, however often it occurs there: were it kept for the
next part, its last digits would depend on which part had asked for it first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from schemas.marks import device_type
from stages.checkpoints import resolve_checkpoint
from stages.images import check_sha256, decode_rgb
from stages.rescore.crops import region_of
from stages.rescore.rows import Row, RowScores, read_rows, score_table
from stages.stage import Counts, Input, MapStage, Needs, Output, PartIO, PartResult, RowError, UserError, reject_rows

if TYPE_CHECKING:
    from torch import Tensor

    from model.similarity.network import Similarity
    from schemas.config import Config

LOADERS = 8  # threads that decode images and cut crops for a GPU
AHEAD = 16  # images that are loaded, or being loaded, while a batch runs


class RescoreStage(MapStage):
    name: ClassVar[str] = "rescore"
    version: ClassVar[int] = 1
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("pairs", ("key", "sha256")),
        Input("phrases", ("key", "caption", "phrases.text")),
        Input("labels", ("key", "width", "height", "boxes")),
    )
    outputs: ClassVar[tuple[Output, ...]] = (Output("scores", aligned_with="labels", lists=("boxes", "boxes")),)

    def __init__(self, config: Config) -> None:
        self.config = config.rescore
        self.max_pixels: int = config.ingest.max_pixels
        self._model: Similarity | None = None

    @classmethod
    def enabled(cls, config: Config) -> bool:
        return config.rescore.model is not None

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        """Raises UserError for a checkpoint that cannot be had, or is of no family that rescores."""
        from model.device import DeviceError, resolve_device
        from model.hub import HubError, fetch
        from model.similarity.network import family_of

        found = resolve_checkpoint("rescore", config.rescore)
        if not found:
            return {}
        try:
            family_of(fetch(str(config.rescore.model), found["revision"]).folder)
            return {**found, "device": resolve_device(config.rescore.device)}
        except (HubError, DeviceError) as error:
            raise UserError(f"rescore: {error}") from error

    @classmethod
    def digests(cls, config: Config) -> dict[str, Any]:
        return {"model_sha256": config.rescore.model_sha256}

    @classmethod
    def needs(cls, config: Config) -> Needs:
        return Needs(gpu=device_type(config.rescore.device) == "cuda", actor=True)  # the model stays loaded

    @property
    def model(self) -> Similarity:
        """Raises UserError."""
        if self._model is None:
            self._model = open_model(self.config)
        return self._model

    def run_part(self, io: PartIO) -> PartResult:
        rows, labels, candidate = read_rows(io, self.config.min_candidate)
        texts = list(dict.fromkeys(text for row in rows for text in row.texts(self.config.relabel)))
        vectors, cut = self.model.text_vectors(texts)
        by_text = dict(zip(texts, vectors.double().numpy(), strict=True))
        rejected: list[tuple[str, str, RowError]] = []
        found: dict[int, RowScores] = {}
        for number, images in self._vectors(io, rows):
            row = rows[number]
            error = images if isinstance(images, RowError) else None
            if not isinstance(images, RowError):
                scores = compare(row, images, by_text, self.config.relabel)
                error = None if scores.finite else RowError("non_finite_scores", "of the image-text model")
                found |= {number: scores} if error is None else {}
            if error is not None:
                rejected.append((row.key, row.source_id, error))
            io.progress(1)
        io.write("scores", score_table(rows, found, labels, candidate).table)
        io.write("rejects/rescore", reject_rows("rescore", sorted(rejected, key=lambda entry: entry[0])))
        counts = Counts(len(rows), len(found), len(rejected))
        notes = {"boxes": int(candidate.sum()), "texts": len(texts), "texts_cut": sum(cut), "logits": self.model.logits}
        return PartResult(counts, notes)

    def _vectors(self, io: PartIO, rows: Sequence[Row]) -> Iterator[tuple[int, Tensor | RowError]]:
        """Of each row, by its index: the vectors of its image and of its crops (1 + n, D), or why there are none."""
        waiting: deque[int] = deque()  # rows whose images are under way
        unreadable: list[tuple[int, RowError]] = []

        def groups() -> Iterator[list[Any]]:
            for number, prepared in enumerate(self._loaded(io, rows)):
                if isinstance(prepared, RowError):
                    unreadable.append((number, prepared))
                else:
                    waiting.append(number)
                    yield prepared

        for vectors in self.model.image_vectors(groups()):
            yield waiting.popleft(), vectors
        yield from unreadable

    def _loaded(self, io: PartIO, rows: Sequence[Row]) -> Iterator[list[Any] | RowError]:
        """What `_prepare` makes of each row, in their order, in threads ahead of the device."""
        ahead: deque[Future[list[Any] | RowError]] = deque()
        with ThreadPoolExecutor(LOADERS if self.model.device.type == "cuda" else 1) as pool:
            for row, data in zip(rows, io.image_bytes([row.image for row in rows]), strict=True):
                ahead.append(pool.submit(self._prepare, row, data))
                if len(ahead) > AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def _prepare(self, row: Row, data: bytes | RowError) -> list[Any] | RowError:
        """The image and the crop of each candidate, as the network reads them."""
        try:
            image = decode_rgb(check_sha256(data, row.sha256), self.max_pixels)
            if image.shape[:2] != row.size:
                raise RowError("image_changed", f"{image.shape[:2]} pixels (h, w), recorded {row.size}")
        except RowError as error:
            return error
        regions = [region_of(box, row.size, self.config.crop, self.config.pad) for box in row.boxes]
        pixels = self.model.pixels
        return [pixels.whole(image), *(pixels.crop(image[y1:y2, x1:x2]) for x1, y1, x2, y2 in regions)]


def compare(row: Row, images: Tensor, by_text: dict[str, Any], relabel: bool) -> RowScores:
    """Cosines of a row's image and crops (1 + n, D) with its texts. Of equally good phrases, the first is the best."""
    vectors = images.double().numpy()
    crops, none = vectors[1:], np.full(len(row.phrase), np.nan, np.float32)
    own = np.asarray([by_text[row.phrases[number]] for number in row.phrase.tolist()]).reshape(crops.shape)
    scores = RowScores(
        image=float(np.float32(vectors[0] @ by_text[row.caption])),
        own=(crops * own).sum(1).astype(np.float32),
        best_phrase=np.full(len(row.phrase), -1, np.int32),
        best=none,
    )
    if not relabel or not len(crops):
        return scores
    cosines = np.asarray([(crops * by_text[text]).sum(1) for text in row.phrases]).T  # (n, phrases)
    best = cosines.argmax(1)
    return RowScores(scores.image, scores.own, best.astype(np.int32), cosines.max(1).astype(np.float32))


def open_model(section: Any) -> Similarity:
    """The model of the resolved section `rescore`. Raises UserError."""
    import torch

    from model.device import DeviceError
    from model.hub import HubError, fetch
    from model.similarity.network import Similarity

    if section.model is None:
        raise UserError("rescore.model: null, so that nobody can be asked; name a checkpoint")
    torch.set_num_threads(section.threads)
    try:
        folder = fetch(section.model, section.revision).folder
        return Similarity(folder, section.device, section.precision, section.batch_size)
    except (HubError, DeviceError) as error:
        raise UserError(f"rescore: {error}") from error
