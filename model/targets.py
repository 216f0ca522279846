"""What a batch is trained on: boxes, phrases and tokens of its images, checked and sent to the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from model.device import send
from model.geometry import to_legacy
from model.images import Size
from model.losses import Known, PhraseTargets
from model.prompt import MAX_TOKENS


class BatchTargets(NamedTuple):
    """Of each image: N boxes with what is known of them."""

    boxes: list[Tensor]  # (N, 4) legacy corners in the padded image
    phrases: list[PhraseTargets]
    weights: list[Tensor]  # (N,)
    regression: list[Tensor]  # (N,) whether the box trains the box regression
    token_mask: Tensor  # (B, 256) in 0/1: tokens that train something
    known: list[Known | None]  # None: everything is


def batch_targets(
    targets: Sequence[Any],
    positions: Sequence[Sequence[Sequence[int]]],
    sizes: Sequence[Size],
    resized: Sequence[Size],
    device: torch.device,
) -> BatchTargets:
    """On the device, which is not waited for. targets: as of `Glip.losses`; positions: per image, per phrase, its
    tokens; sizes (H, W) of the images before, and resized (h, w) after resizing."""
    checked = [as_target(target) for target in targets]
    rows = [token_rows(own) for own in positions]  # (phrases, 256) each
    boxes = [to_legacy(one["boxes"], *own) for one, *own in zip(checked, sizes, resized, strict=True)]
    shared = [one["shared"] if one["shared"] is None else send(one["shared"], device) for one in checked]
    known = [known_tokens(own, one["unknown"]) for own, one in zip(rows, checked, strict=True)]
    return BatchTargets(
        boxes=[send(own, device) for own in boxes],
        phrases=[
            PhraseTargets(send(own, device), send(one["phrase"], device), others)
            for own, one, others in zip(rows, checked, shared, strict=True)
        ],
        weights=[send(one["weight"], device) for one in checked],
        regression=[send(one["regression"], device) for one in checked],
        token_mask=send(torch.stack(known), device),
        known=[
            None if one["known"] is None else sent_known(one["known"], tokens, size, now, device)
            for one, tokens, size, now in zip(checked, rows, sizes, resized, strict=True)
        ],
    )


def sent_known(known: Mapping[str, Tensor], tokens: Tensor, size: Size, resized: Size, device: torch.device) -> Known:
    """On the device, of an image's `known` and the tokens (phrases, 256) of its phrases."""
    boxes = to_legacy(known["boxes"], size, resized)
    return Known(send(boxes, device), send(tokens[known["phrase"]], device))


def as_target(target: Any) -> dict[str, Any]:
    """A mapping, a pair or an object with attributes as boxes (N, 4), phrase, weight, regression (N,), unknown,
    shared (N, phrases) and known, of which the last two may be None.
    """
    if isinstance(target, Sequence):
        target = dict(zip(("boxes", "phrase"), target, strict=True))

    def get(name: str) -> Any:
        return target.get(name) if isinstance(target, Mapping) else getattr(target, name, None)

    boxes = torch.as_tensor(get("boxes")).float().reshape(-1, 4)
    weight, regression = (
        torch.ones(len(boxes)) if get(name) is None else torch.as_tensor(get(name)).float().reshape(-1)
        for name in ("weight", "regression")
    )
    phrase = torch.as_tensor(get("phrase")).long().reshape(-1)
    unknown = torch.as_tensor([] if get("unknown") is None else get("unknown")).long()
    return {
        **{"boxes": boxes, "phrase": phrase, "weight": weight, "regression": regression, "unknown": unknown},
        "shared": None if get("shared") is None else torch.as_tensor(get("shared")),
        "known": get("known")
        and {
            "boxes": torch.as_tensor(get("known")["boxes"]).float().reshape(-1, 4),
            "phrase": torch.as_tensor(get("known")["phrase"]).long().reshape(-1),
        },
    }


def known_tokens(rows: Tensor, unknown: Tensor) -> Tensor:
    """(256,) in 0/1: all tokens but those that only unknown phrases have. rows (phrases, 256), unknown (indices,)."""
    known = torch.ones(len(rows), 1).index_fill(0, unknown, 0)  # (phrases, 1) in 0/1
    return (((rows * (1 - known)).sum(0) == 0) | ((rows * known).sum(0) > 0)).to(rows)


def token_rows(positions: Sequence[Sequence[int]]) -> Tensor:
    """Token positions of each phrase -> (phrases, 256) in 0/1; one empty row where there is no phrase."""
    rows = torch.zeros(max(len(positions), 1), MAX_TOKENS)
    for row, own in zip(rows, positions, strict=False):
        row[list(own)] = 1
    return rows
