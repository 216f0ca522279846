"""The checkpoint that a stage's section of the config names with `model` and `revision`, for stages with a network
from the Hugging Face hub."""

from __future__ import annotations

from typing import Any, Protocol

from stages.stage import UserError


class ModelSection(Protocol):
    """What such a section has. The last two are filled in when the config is resolved, and marked `Only.DIGEST`."""

    @property
    def model(self) -> str | None:
        """A folder, or an id of the hub; null: the stage is off."""
        ...

    @property
    def revision(self) -> str | None:
        """A branch, a tag or a commit of the hub; resolved: the commit."""
        ...

    @property
    def model_sha256(self) -> str | None:
        """Given by hand, it is what the checkpoint must have."""
        ...


def resolve_checkpoint(section: str, config: ModelSection) -> dict[str, Any]:
    """What `revision` and `model_sha256` come to; nothing where no model is named. A checkpoint of the hub is then on
    this machine. `section`: its name, for errors. Raises UserError.
    """
    from model.checkpoint import sha256
    from model.hub import HubError, fetch

    if config.model is None:
        return {}
    try:
        checkpoint = fetch(config.model, config.revision)
    except HubError as error:
        raise UserError(f"{section}.model: {error}") from error
    found = sha256(checkpoint.folder)
    if config.model_sha256 not in (None, found):
        raise UserError(f"{section}.model: sha256 {found}, but {section}.model_sha256 asks for {config.model_sha256}")
    return {"revision": checkpoint.revision, "model_sha256": found}
