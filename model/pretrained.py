"""Networks of the library transformers, opened from a checkpoint that model.hub has found fit to be opened.

transformers is imported here and in the files that run its networks, never before one of them is asked for.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from model.hub import HubError, read_json

SETTINGS = "preprocessor_config.json"
PROCESSOR = "processor_config.json"  # where newer checkpoints keep the same, under `image_processor`


def library(folder: Path) -> Any:
    """The module transformers, which reports nothing of its own. Raises HubError where it is not installed."""
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise HubError(f"{folder}: needs the package transformers, which is not installed") from error
    transformers.logging.set_verbosity_error()  # what it would report of the weights is checked below
    transformers.logging.disable_progress_bar()
    return transformers


def open_network(folder: Path, name: str) -> Any:
    """The network of the class `name` of transformers, in fp32 and eval mode, for inference alone.

    Every weight comes from the checkpoint: the library would draw one at random that is missing, or has another shape.
    Raises HubError.
    """
    options = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
    try:
        kind = getattr(library(folder), name)
        network, report = kind.from_pretrained(folder, dtype=torch.float32, output_loading_info=True, **options)
    except (ImportError, OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        # an ImportError: of what a network is built on, as EdgeTAM's is on timm
        raise HubError(f"{folder}: the weights cannot be opened as a {name}: {_first_line(error)}") from error
    wanting = sorted({*report["missing_keys"], *(str(entry[0]) for entry in report["mismatched_keys"])})
    if wanting:
        raise HubError(f"{folder}: the weights lack {len(wanting)} tensors of a {name}, e.g. {wanting[0]}")
    return network.eval().requires_grad_(False)


def image_settings(folder: Path) -> dict[str, Any] | None:
    """How the checkpoint's images are prepared; None where it does not say. Raises HubError for what is no JSON."""
    if (folder / SETTINGS).is_file():
        return read_json(folder / SETTINGS)
    if (folder / PROCESSOR).is_file():
        settings: dict[str, Any] | None = read_json(folder / PROCESSOR).get("image_processor")
        return settings
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
