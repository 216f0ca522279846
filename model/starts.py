"""Published weights to start a training from: an ImageNet Swin and BERT, in the key layouts that they come in.

    taken = start_swin(glip.backbone.body, read_start("swin_tiny_patch4_window7_224.pth"))
    taken = start_bert(glip.language_backbone.body["model"], read_start("bert-base-uncased"))

Swin is read as Microsoft's .pth, timm and transformers name it; BERT as transformers does, old names of LayerNorm's
weights included. Tensors go by name alone, and every one that the network needs has to be there in its shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from model.checkpoint import WeightsError, read_weights

State = Mapping[str, Tensor]

# What a detector adds to the ImageNet network: norms of the maps that leave stages 2 to 4. They stay fresh, as
# published: the network's own norm is that of its classifier, and has no place here.
ADDED_TO_SWIN = re.compile(r"norm[123]\.(weight|bias)")
NOT_LEARNED = re.compile(r"(.*\.)?(attn_mask|relative_position_index|position_ids)")

TRANSFORMERS_SWIN = (
    (r"^swin\.", ""),
    (r"^encoder\.", ""),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.norm\.", "patch_embed.norm."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.self\.", ".attn."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
)
TRANSFORMERS_BERT = (
    (r"^bert\.", ""),
    (r"\.LayerNorm\.gamma$", ".LayerNorm.weight"),
    (r"\.LayerNorm\.beta$", ".LayerNorm.bias"),
)


@dataclass(frozen=True)
class Taken:
    """What of a part of the network comes from a checkpoint."""

    taken: int
    fresh: tuple[str, ...]  # the part's tensors that keep their initial values
    unused: tuple[str, ...]  # the checkpoint's tensors, by its own names, that have no place in the part

    def __str__(self) -> str:
        words = f"{self.taken} of {self.taken + len(self.fresh)} tensors taken"
        words += f"; left fresh: {', '.join(self.fresh)}" if self.fresh else ""
        return words + (f"; not used: {_some(self.unused)}" if self.unused else "")


def read_start(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file, or of a folder in the Hugging Face layout. Raises WeightsError."""
    if not path.is_dir():
        return read_weights(path)
    files = sorted(path.glob("model*.safetensors"))
    if not files:
        raise WeightsError(f"{path}: no model.safetensors in this folder")
    return {key: value for file in files for key, value in read_weights(file).items()}


def start_swin(body: nn.Module, state: State) -> Taken:
    """Copies an ImageNet Swin into the backbone's body. Raises WeightsError that names what is missing or misshapen."""
    if any("patch_embeddings.projection" in key for key in state):
        names = _renamed(state, TRANSFORMERS_SWIN)
        given = _joined_attention({names[key]: value for key, value in state.items()})
    elif "patch_embed.proj.weight" in state:
        names = {key: _own_downsample(key, state) for key in state}
        given = {names[key]: value for key, value in state.items()}
    else:
        raise WeightsError(f"no Swin as transformers, timm or Microsoft name it: it has {_some(list(state))}")
    return _copy(body, given, ADDED_TO_SWIN.fullmatch, names)


def start_bert(bert: nn.Module, state: State) -> Taken:
    """Copies a BERT of transformers into the text encoder. Raises WeightsError, as start_swin does."""
    names = _renamed(state, TRANSFORMERS_BERT)
    given = {names[key]: value for key, value in state.items()}
    if "embeddings.word_embeddings.weight" not in given:
        raise WeightsError(f"no BERT as transformers names it: it has {_some(list(state))}")
    return _copy(bert, given, None, names)


def _renamed(state: State, rules: Sequence[tuple[str, str]]) -> dict[str, str]:
    names = {}
    for key in state:
        name = key
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        names[key] = name
    return names


def _own_downsample(key: str, state: State) -> str:
    """timm of 2023 and later merges patches at the begin of a stage; here, as elsewhere, the stage before ends so."""
    found = re.fullmatch(r"layers\.(\d+)\.downsample\.(.+)", key)
    if found is None or any(other.startswith("layers.0.downsample.") for other in state):
        return key
    return f"layers.{int(found[1]) - 1}.downsample.{found[2]}"


def _joined_attention(state: State) -> dict[str, Tensor]:
    """With query, key and value of each attention in one tensor, `qkv`, where all three are there."""
    joined = dict(state)
    for key in state:
        head, middle, tail = key.rpartition(".attn.query.")
        parts = [f"{head}.attn.{part}.{tail}" for part in ("query", "key", "value")]
        if middle and all(part in joined for part in parts):
            joined[f"{head}.attn.qkv.{tail}"] = torch.cat([joined.pop(part) for part in parts])
    return joined


def _copy(part: nn.Module, given: State, may_lack: Callable[[str], object] | None, names: Mapping[str, str]) -> Taken:
    """names: of the checkpoint's tensors, to those in `given` (before query, key and value were joined)."""
    wanted = part.state_dict()
    fresh = [key for key in wanted if may_lack is not None and may_lack(key)]
    needed = [key for key in wanted if key not in fresh]
    missing = [key for key in needed if key not in given]
    if missing:
        raise WeightsError(f"{len(missing)} of {len(needed)} tensors are missing: {_some(missing)}")
    for key in needed:
        if given[key].shape != wanted[key].shape:
            raise WeightsError(f"{key} is {tuple(given[key].shape)}, and has to be {tuple(wanted[key].shape)}")
    with torch.no_grad():
        for key in needed:
            wanted[key].copy_(given[key])
    unused = [
        name
        for name, own in names.items()
        if own not in needed and not NOT_LEARNED.fullmatch(name) and not re.search(r"\.attn\.(query|key|value)\.", own)
    ]
    return Taken(len(needed), tuple(fresh), tuple(unused))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
