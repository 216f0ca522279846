"""From ranked candidates to boxes: NMS inside each phrase, then the limits. Of all images of a batch at once.

`select` does it on the host. `begin_select` gives the work to the device where there is one, and leaves a last sorting
to the host. Both give the same boxes in the same order: best first, ties in the order of the candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.device import send, to_host
from model.images import Size
from model.nms import Flags, Floats, Indices, suppress, suppress_on_device
from model.outputs import Grounding

NEVER = -1.0  # ranks below every candidate
WIDTH = 512  # the candidates of a phrase that a device compares with each other; or of an image, if it has the limits


@dataclass(frozen=True)
class Settings:
    """What becomes a box. Limits count over all phrases together as published, or for each phrase on its own."""

    threshold: float = 0.05  # candidates have a mean token probability above it, before centerness
    per_level: int = 1000  # candidates
    nms_iou: float = 0.6
    limit: int = 100  # boxes of an image
    score_floor: float = 0.0  # on the final score
    limits_per_phrase: bool = False


OFFICIAL = Settings()


class Candidates(NamedTuple):
    """The best positions of each image over all levels; S slots, not all of them filled."""

    boxes: Tensor  # (B, S, 4) legacy corners in the padded image
    scores: Tensor  # (B, S) final scores, not negative; NEVER where the slot is empty
    phrase: Tensor  # (B, S)


def select(candidates: Candidates, image_sizes: Sequence[Size], settings: Settings = OFFICIAL) -> list[Grounding]:
    """What NMS and the limits leave of the candidates, image by image. Boxes are clipped to the resized image first."""
    images, slots = candidates.scores.shape
    boxes, scores, phrase = (x.cpu().flatten(0, 1).numpy() for x in candidates)
    chosen = np.flatnonzero((scores > NEVER) & (scores >= settings.score_floor))
    chosen = chosen[falling(scores[chosen])]  # (N,), of all images, as what follows
    scores, phrase, image = scores[chosen], phrase[chosen], chosen // max(slots, 1)
    boxes = np.maximum(boxes.take(chosen, axis=0), 0)  # `take` gives whole rows many times as fast as an index
    np.minimum(boxes, last_pixels(image_sizes).take(image, axis=0), out=boxes)
    keep = suppress_by_group(boxes, image * (phrase.max(initial=0) + 1) + phrase, settings)
    kept = np.flatnonzero(keep)
    kept = kept[rising(image[kept])]
    ends = np.searchsorted(image[kept], np.arange(images + 1))
    own = [kept[start:end] for start, end in pairwise(ends)]
    return [limited(boxes.take(mine, axis=0), scores[mine], phrase[mine], settings) for mine in own]


def suppress_by_group(boxes: Floats, group: Indices, settings: Settings) -> Flags:
    """NMS inside each group (N,), an image and a phrase; boxes (N, 4) come best first. (N,) which ones stay."""
    order = rising(group)
    group = group[order]
    keep = suppress(boxes.take(order, axis=0), group, settings.nms_iou)
    if settings.limits_per_phrase:
        first = np.flatnonzero(np.r_[True, group[1:] != group[:-1]][: len(group)])
        before: Indices = np.cumsum(keep) - keep  # how many stay before each box
        keep &= before - np.repeat(before[first], np.diff(np.r_[first, len(group)])) < settings.limit
    result = np.empty_like(keep)
    result[order] = keep
    return result


def falling(scores: Floats) -> Indices:
    """The order (N,) of scores that are not negative, best first, ties as they come."""
    bits = ~(scores + 0).view(
        np.uint32
    )  # of such floats, the bits are in order, too; of 16 bits, numpy has a radix sort
    order = np.argsort(bits.astype(np.uint16), kind="stable")
    return order[np.argsort((bits >> 16).astype(np.uint16)[order], kind="stable")]


def rising(numbers: Indices) -> Indices:
    """The order (N,) of numbers from 0 on, ties as they come; fast where the numbers fit 16 bits."""
    return np.argsort(numbers.astype(np.min_scalar_type(numbers.max(initial=0))), kind="stable")


def last_pixels(image_sizes: Sequence[Size]) -> Floats:
    """(B, 4): the largest x and y in each image, twice."""
    return np.asarray([(width - 1, height - 1) * 2 for height, width in image_sizes], np.float32).reshape(-1, 4)


def limited(boxes: Floats, scores: Floats, phrase: NDArray[np.int64], settings: Settings) -> Grounding:
    """The boxes of an image, best first, up to its limit, at which ties stay."""
    if not settings.limits_per_phrase and len(scores) > settings.limit:
        count = np.count_nonzero(scores >= scores[settings.limit - 1])
        boxes, scores, phrase = boxes[:count], scores[:count], phrase[:count]
    return Grounding(torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(phrase))


class Found(NamedTuple):
    """What NMS and the limits leave, on the device; S slots an image."""

    boxes: Tensor  # (B, S, 4)
    scores: Tensor  # (B, S); NEVER where the slot is empty
    phrase: Tensor  # (B, S)
    place: Tensor  # (B, S): the slot of the candidate
    certain: Tensor  # (B,): whether that is all, and right


def begin_select(
    candidates: Candidates, image_sizes: Sequence[Size], settings: Settings, phrases: int
) -> Callable[[], list[Grounding]]:
    """`select`, under way: the function waits for the device and gives the boxes. `phrases`: of an image, at most."""
    if candidates.scores.device.type == "cpu":
        return lambda: select(candidates, image_sizes, settings)
    arrived = to_host(select_on_device(candidates, image_sizes, settings, phrases))

    def finish() -> list[Grounding]:
        return finish_select(Found(*arrived()), candidates, image_sizes, settings)

    return finish


def select_on_device(candidates: Candidates, image_sizes: Sequence[Size], settings: Settings, phrases: int) -> Found:
    """`select` but for the last sorting, without waiting for the device: every operator has a fixed shape.

    Of each phrase, or of each image where limits count over all phrases, the best WIDTH candidates are compared with
    each other. Those after them change nothing among them, and are not needed where these fill the limit.
    """
    images = len(candidates.scores)
    units = phrases if settings.limits_per_phrase else 1  # of an image, each with a limit of its own
    rows = torch.arange(images, device=candidates.scores.device).repeat_interleave(units)[:, None]  # (U, 1)
    best, place, beyond = _best_of_units(candidates, rows, _by_unit(candidates.phrase, units), settings)
    phrase = candidates.phrase[rows, place]
    corners = send(torch.from_numpy(last_pixels(image_sizes)), rows.device)[:, None]  # (B, 1, 4)
    boxes = candidates.boxes[rows, place].clamp(min=0).minimum(corners[rows[:, 0]])  # (U, w, 4)

    keep, certain = suppress_on_device(boxes, phrase, best > NEVER, settings.nms_iou)
    rank = keep.cumsum(1)
    last = best.masked_fill(~(keep & (rank == settings.limit)), NEVER).amax(1)  # (U,) score where the limit is reached
    if not settings.limits_per_phrase:
        best = best.masked_fill(~(keep & (best >= last[:, None])), NEVER)
        certain &= (beyond == NEVER) | (beyond < last)
    else:
        best = best.masked_fill(~(keep & (rank <= settings.limit)), NEVER)
        certain &= (beyond == NEVER) | (last > NEVER)
        best, first = (x[:, : settings.limit] for x in best.sort(dim=1, descending=True, stable=True))
        boxes = boxes.gather(1, first[..., None].expand(-1, -1, 4))
        phrase, place = phrase.gather(1, first), place.gather(1, first)
    boxes, best, phrase, place = (x.reshape(images, -1, *x.shape[2:]) for x in (boxes, best, phrase, place))
    return Found(boxes, best, phrase, place, certain.view(images, units).all(1))


def _best_of_units(
    candidates: Candidates, rows: Tensor, place: Tensor, settings: Settings
) -> tuple[Tensor, Tensor, Tensor]:
    """Of units with their images (U, 1) and slots (U, n): the best scores and their slots (U, w), the next score (U,).

    NEVER: there is none. Candidates below the floor are none either.
    """
    scores = candidates.scores
    scores = scores.masked_fill(~((scores > NEVER) & (scores >= settings.score_floor)), NEVER)
    best, order = scores[rows, place].sort(dim=1, descending=True, stable=True)
    beyond = best[:, WIDTH] if best.shape[1] > WIDTH else torch.full_like(best[:, 0], NEVER)
    return best[:, :WIDTH], place.gather(1, order[:, :WIDTH]), beyond


def _by_unit(phrase: Tensor, units: int) -> Tensor:
    """(B, S) phrases of the slots -> (U, S / units), the slots of all B * units units: all, or those of each phrase.

    Where limits count for each phrase, the slots are shared evenly among the phrases.
    """
    order = phrase.argsort(dim=1, stable=True) if units > 1 else torch.arange(phrase.shape[1], device=phrase.device)
    return order.expand(phrase.shape).reshape(len(phrase) * units, -1)


def finish_select(
    found: Found, candidates: Candidates, image_sizes: Sequence[Size], settings: Settings
) -> list[Grounding]:
    """The boxes of every image, given what the device has found, on the host. Where that is uncertain, the host looks
    at the candidates itself."""
    results = []
    for boxes, scores, phrase, place in zip(*(x.numpy() for x in found[:4]), strict=True):
        filled = np.flatnonzero(scores > NEVER)
        order = filled[np.lexsort((place[filled], -scores[filled]))]
        results.append(limited(boxes[order], scores[order], phrase[order], settings))
    missed = np.flatnonzero(~found.certain.numpy()).tolist()
    if missed:
        rest = Candidates(*(x[missed] for x in candidates))
        for image, own in zip(missed, select(rest, [image_sizes[image] for image in missed], settings), strict=True):
            results[image] = own
    return results
