"""Weights in files and in the official key layout.

`Glip` names its modules as official checkpoints do, so the layout of our own safetensors files is the official one,
less the entries that follow from the architecture.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model.cards import WEIGHTS

# Official entries that hold no learned value: present or absent, they are ignored.
COMPUTED = re.compile(
    r"\.(attn\.relative_position_index|embeddings\.position_ids|anchor_generator\.cell_anchors\.\d+)$"
)

WHOLE = ("model.safetensors", "model.safetensors.index.json")  # one of them is in a checkpoint of transformers,
TRANSFORMERS = re.compile(r"[^.].*\.(json|txt|model)|model(-.+)?\.safetensors")  # and these make it up


class WeightsError(ValueError):
    """A weights file or state dict that is not what it should be; the message says what is wrong with which."""


def load_official(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copies a state dict in the official layout into the model, strictly.

    `module.` is stripped when every key has it. Raises WeightsError that names the first few missing, unexpected or
    misshapen keys.
    """
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    given = {key: value for key, value in state.items() if not COMPUTED.search("." + key)}
    wanted = model.state_dict()
    missing = [key for key in wanted if key not in given]
    extra = [key for key in given if key not in wanted]
    misshapen = [
        f"{key} {_shape(given[key])} for {_shape(wanted[key])}"
        for key in wanted
        if key in given and _shape(given[key]) != _shape(wanted[key])
    ]
    problems = [
        f"{len(keys)} {what}: {', '.join(map(str, keys[:3]))}{', ...' if len(keys) > 3 else ''}"
        for what, keys in (("missing", missing), ("unexpected", extra), ("of another shape", misshapen))
        if keys
    ]
    if problems:
        raise WeightsError("the weights do not fit this variant; " + "; ".join(problems))
    model.load_state_dict(given)


def _shape(value: object) -> tuple[int, ...] | str:
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """State dict of a `.safetensors` or `.pth` file, on the CPU. A pickle that would run code is refused, not run."""
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise WeightsError(f"{path}: not a safetensors file ({error})") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds for a file that is not what it claims
        raise WeightsError(f"{path}: cannot be read as plain weights ({_first_line(error)})") from error
    state = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: holds no state dict, neither itself nor under the key 'model'")
    return state


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def write_weights(state: Mapping[str, Tensor], path: str | Path, dtype: torch.dtype | None = None) -> None:
    """Writes a state dict as safetensors, floating point values as `dtype` where one is given. Raises WeightsError."""
    tensors = {
        key: value.detach().to("cpu", dtype if value.is_floating_point() else None).contiguous()
        for key, value in state.items()
    }
    try:
        save_file(tensors, path)
    except SafetensorError as error:
        raise WeightsError(f"{path}: cannot be written ({error})") from error


def is_transformers_layout(folder: str | Path) -> bool:
    """Whether the folder holds a checkpoint as transformers saves it, with weights as safetensors."""
    top = Path(folder)
    return (top / "config.json").is_file() and any((top / name).is_file() for name in WHOLE)


def weights_files(folder: str | Path) -> list[Path]:
    """The files of a folder of weights, relative to it, sorted. Hidden ones, e.g. the notes of a downloader, are none.

    Of a checkpoint of transformers they are only those that it is opened from: in the hub's cache, other programs put
    other files beside them. Raises FileNotFoundError where there is no file.
    """
    top = Path(folder)
    if is_transformers_layout(top):
        return sorted(Path(path.name) for path in top.iterdir() if TRANSFORMERS.fullmatch(path.name))
    paths = (path.relative_to(top) for path in top.rglob("*") if path.is_file())
    found = sorted((path for path in paths if not any(part.startswith(".") for part in path.parts)), key=Path.as_posix)
    if not found:
        raise FileNotFoundError(f"{top}: no files in this folder")
    return found


def sha256(path: str | Path) -> str:
    """Hex digest of weights, for fingerprints: of a file's bytes, or of a folder's names and contents.

    A folder's is that of the lines that sha256sum prints of its files, sorted by name. Raises OSError for what is not
    there.
    """
    path = Path(path)
    if path.is_dir():
        lines = [f"{sha256(path / name)}  {name.as_posix()}\n" for name in weights_files(path)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def packaged_weights(variant: str) -> Path:
    """The weights that ship in the package; raises FileNotFoundError that says what to do where there are none."""
    path = WEIGHTS / f"{variant}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights for {variant} are packaged ({path}); give the path of a weights file instead"
        )
    return path
