"""The weights that a training starts from: random ones, those of a file or of the label stage's teacher, or published
weights of the two encoders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.label.teacher import describe
from stages.stage import UserError

if TYPE_CHECKING:
    from model.glip import Glip
    from schemas.config import Config, StartConfig


def resolve_start(config: Config) -> dict[str, Any]:
    """`init` with the commits of ids of the hub; nothing where it names no published weights. Raises UserError."""
    start = config.train.init
    if start is None or isinstance(start, str):
        return {}
    if start.visual is None and start.text is None:
        raise UserError("train.init: name weights under `visual`, `text` or both")
    commits = {
        f"{encoder}_revision": commit
        for encoder, (_, commit) in _published(start).items()
        if commit is not None  # a file or folder has none, and a revision that is given for one is an error
    }
    return {"init": start.model_copy(update=commits)}


def start_digest(config: Config) -> str | dict[str, str] | None:
    """sha256 of the weights that training starts from, of each encoder where they are two; null for random ones."""
    from model.checkpoint import sha256

    init = config.train.init
    if init is None:
        return None
    if init == "teacher":
        return describe(config).weights
    try:
        if isinstance(init, str):
            return sha256(init)
        return {encoder: sha256(path) for encoder, (path, _) in _published(init).items()}
    except OSError as error:
        raise UserError(f"train.init: {error}") from error


def start_model(config: Config) -> tuple[Glip, dict[str, str]]:
    """The student before its first step; and what it took of published weights, in words, by encoder.

    Raises UserError for published weights that do not fit the variant.
    """
    from model.checkpoint import packaged_weights
    from model.glip import Glip
    from model.variants import NONE, get_variant

    variant, init = config.train.variant, config.train.init
    regularisation = get_variant(variant).published if config.train.regularise else NONE
    if not isinstance(init, str):
        glip = Glip.from_variant(variant, config.train.seed, regularisation)
        return glip, load_start(glip, init)
    if init != "teacher":
        return Glip.from_file(variant, init, regularisation), {}
    if config.label.teacher != variant:
        raise UserError(f"train.init: the teacher is a {config.label.teacher}, the student a {variant}")
    return Glip.from_file(variant, config.label.weights or packaged_weights(variant), regularisation), {}


def load_start(glip: Glip, start: StartConfig | str | None) -> dict[str, str]:
    """Puts published weights into the encoders; what was taken, in words, by encoder. Raises UserError."""
    from model.checkpoint import WeightsError
    from model.starts import read_start, start_bert, start_swin

    found: dict[str, str] = {}
    if start is None or isinstance(start, str):
        return found
    for encoder, (path, _) in _published(start).items():
        try:
            state = read_start(path)
            if encoder == "visual":
                taken = start_swin(glip.backbone.body, state)
            else:
                taken = start_bert(glip.language_backbone.body["model"], state)
        except WeightsError as error:
            raise UserError(f"train.init.{encoder}: {path} does not fit {glip.variant.name}: {error}") from error
        found[encoder] = str(taken)
    return found


def _published(start: StartConfig) -> dict[str, tuple[Path, str | None]]:
    """By encoder: the file or folder, and the commit of an id of the hub. Raises UserError."""
    from model.hub import HubError, fetch

    found: dict[str, tuple[Path, str | None]] = {}
    named = {"visual": (start.visual, start.visual_revision), "text": (start.text, start.text_revision)}
    for encoder, (name, revision) in named.items():
        if name is None:
            continue
        if Path(name).is_file() and revision is None:
            found[encoder] = Path(name), None
            continue
        try:
            checkpoint = fetch(name, revision)
        except HubError as error:
            raise UserError(f"train.init.{encoder}: {error}") from error
        found[encoder] = checkpoint.folder, checkpoint.revision
    return found
