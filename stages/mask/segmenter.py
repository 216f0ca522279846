"""The network that the mask section of a config names. What is wrong with the section is a UserError here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.label.teacher import user_errors
from stages.stage import UserError

if TYPE_CHECKING:
    from model.segmenter import Segmenter
    from schemas.config import MaskConfig


def open_segmenter(config: MaskConfig) -> Segmenter:
    """Of a resolved section. Raises UserError, also where it names no model."""
    import torch

    from model.hub import HubError, fetch
    from model.segmenter import Segmenter

    if config.model is None:
        raise UserError("mask.model: name a folder or an id of the hub, e.g. facebook/sam2.1-hiera-tiny")
    torch.set_num_threads(config.threads)
    try:
        with user_errors():
            folder = fetch(config.model, config.revision).folder
            return Segmenter.open(folder, config.device, config.precision, config.boxes_per_pass)
    except HubError as error:
        raise UserError(f"mask.model: {error}") from error
