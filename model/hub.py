"""Checkpoints in the Hugging Face layout, given as a folder or by their id on the hub.

    checkpoint = fetch("rziga/llmdet_tiny", "main")     # on the machine that starts the run
    checkpoint.folder                                   # what transformers opens: model(folder, local_files_only=True)
    checkpoint.revision                                 # the commit of the hub, for the config; None: it is a folder
    sha256(checkpoint.folder)                           # model.checkpoint's, for the fingerprint

A config names a checkpoint with two keys, e.g. `label.weights` and `label.revision`. When the config is resolved, the
stage replaces the revision by the commit, and writes the digest into a third key. The workers of a cluster get the
folder: pipeline/execution/weights.py lists the keys, copies what they name through the run folder, and gives each
worker a config that names a folder. So a stage calls `fetch` in both places and never asks where it is.

Nothing of a checkpoint is ever run: weights are safetensors, and custom code is an error.
"""

from __future__ import annotations

import json
import logging
import re
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from model.checkpoint import WeightsError, is_transformers_layout

CONFIG = "config.json"
CODE = "*.py"
FILES = ("*.json", "*.txt", "*.model", "model.safetensors", "model-*.safetensors", CODE)  # are downloaded,
BELOW = "*/*"  # but none of these; code is, to be refused
COMMIT = re.compile(r"[0-9a-f]{40}")


class Checkpoint(NamedTuple):
    """A checkpoint on this machine, found fit to be opened."""

    folder: Path
    revision: str | None  # the commit of the hub; None where a folder was given


class HubError(WeightsError):
    """A checkpoint that cannot be had, or must not be opened. The message is one line and says what to do; the caller
    puts the key of the config before it."""


def fetch(model: str, revision: str | None = None) -> Checkpoint:
    """The checkpoint of a folder, or of an id of the hub, `owner/name`: downloaded unless it is in the hub's cache.

    A folder of this name goes before an id, unless a revision is given: a branch, a tag or a commit; None: `main`. A
    commit that is in the cache needs no network. Raises HubError.
    """
    path = Path(model).expanduser()
    if path.is_dir() and revision is None:
        return Checkpoint(checked(path), None)
    if path.exists() and revision is None:
        raise HubError(f"{model} is a file; a checkpoint is a folder with {CONFIG} and weights as .safetensors")
    if path.is_dir() and _is_path(model):
        raise HubError(f"{model} is a folder, which has no revisions; leave {revision!r} out")
    if _is_path(model):
        raise HubError(f"{model}: no such folder, and no id of the hub (owner/name) either")
    folder = checked(_snapshot(model, revision))
    return Checkpoint(folder, folder.name)


def _is_path(model: str) -> bool:
    """Whether it can be no id of the hub."""
    return model.startswith((".", "/", "~")) or model.count("/") > 1


def checked(folder: Path) -> Path:
    """The folder, where it holds a checkpoint that runs no code when it is opened. Raises HubError where not."""
    if not (folder / CONFIG).is_file():
        raise HubError(f"{folder}: no {CONFIG} in it, so this is no checkpoint in the Hugging Face layout")
    code = [path.relative_to(folder).as_posix() for path in folder.rglob(CODE)]
    code += [path.name for path in folder.glob("*config.json") if "auto_map" in read_json(path)]
    if code:
        raise HubError(f"{folder}: the checkpoint brings code of its own ({min(code)}), which is never run")
    if not is_transformers_layout(folder):
        raise HubError(
            f"{folder}: no model.safetensors; other formats may run code when they are read, so have the model saved"
            " again elsewhere (save_pretrained writes safetensors)"
        )
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a checkpoint, e.g. its config. Raises HubError for what is not a JSON object."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise HubError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise HubError(f"{path}: a {type(content).__name__} where an object is expected")
    return content


def is_network(error: Exception) -> bool:
    """No connection, no answer, or a refusal of the hub: nothing that this program could mend."""
    modules = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "huggingface_hub"}
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in modules


def _snapshot(model: str, revision: str | None) -> Path:
    """The folder of a commit in the hub's cache, whose name is the commit."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ModuleNotFoundError as error:
        raise HubError(f"{model}: a checkpoint of the hub needs the package {error.name}; or give a folder") from error
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would tell of every attempt
    # One file at a time: where the network ends, the library's threads close each other's connections, and what they
    # raise then is no longer an error of the network.
    download = partial(
        snapshot_download, model, revision=revision, allow_patterns=list(FILES), ignore_patterns=BELOW, max_workers=1
    )
    try:
        if COMMIT.fullmatch(revision or ""):
            with suppress(LocalEntryNotFoundError):
                return Path(download(local_files_only=True))
        return Path(download())
    except Exception as error:
        if not (is_network(error) or isinstance(error, ValueError)):
            raise
        raise HubError(
            f"{model} ({revision or 'main'}): the hub cannot be reached or does not give it ({type(error).__name__});"
            " download it elsewhere, and give the path of its folder instead"
        ) from error
