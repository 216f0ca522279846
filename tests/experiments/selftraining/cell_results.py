"""The JSON of a cell, with made-up figures."""

from __future__ import annotations

from typing import Any


def cell(
    role: str, seed: int, aps: tuple[float | None, ...], threshold: float = 0.5, web: int = 4000, steps: int = 1200
) -> dict[str, Any]:
    tiers = ("common", "rare", "unseen")
    curve = [{"threshold": 0.5, "precision": 0.9, "recall": 0.1 * seed}]
    return {
        **{
            "role": role,
            "seed": seed,
            "threshold": threshold,
            "web": web,
            "samples_seen": 8 * steps,
            "date": "2026-01-01",
        },
        **{"processor": "a CPU", "versions": {"python": "3.12.1", "torch": "2.13.0"}},
        "sets": {"pseudo": 1234},
        "settings": {"evaluate.count": 500, "train.steps": steps},
        "detection": {
            **{tier: {"AP": value} for tier, value in zip(tiers, aps, strict=True)},
            "by_noun": {
                "fire engine": {"AP": 0.02},
                "corn": {"AP": 0.01 * seed},
                "fox": {"AP": 0.05},
                "dog": {"AP": 0.5},
            },
        },
        "agreement": {tier: {"curve": curve} for tier in ("all", *tiers)},
    }
