"""Weights in the official key layout, made up by the fill rule of ../shared/parity: what stands for a release here."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
BROUGHT = ROOT / ".gpu" / "shared"  # what benchmarks/gpu_wheels.py takes along to a machine without ../shared
SHARED = BROUGHT if BROUGHT.is_dir() else ROOT.parent / "shared"
PARITY = SHARED / "parity"


def fill(name: str, shape: list[int], rule: dict[str, Any], seed: int) -> torch.Tensor:
    """The value that the rule gives an entry."""
    bits = np.random.PCG64(zlib.crc32(name.encode()) + seed)
    noise = np.random.Generator(bits).standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(np.float32(rule["mean"]) + np.float32(rule["std"]) * noise)


def official_state(variant: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """The state dict of `glip_t_a`, `glip_t_b`, `glip_t_c` or `glip_l`, less what follows from the architecture."""
    entries = json.loads((PARITY / f"state_dict_{variant}.json").read_text())
    return {
        entry["name"]: fill(entry["name"], entry["shape"], entry["fill"], seed)
        for entry in entries
        if entry["fill"]["kind"] != "computed"
    }
