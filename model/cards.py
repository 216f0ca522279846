"""Model cards of the packaged weights: what they were trained on, what they are good for, under which terms."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.config import LabelConfig, TeacherConfig

WEIGHTS = Path(__file__).parent / "weights"  # that ship with the package, and their cards
TERMS = "Terms: "  # begins the line of a card that limits what weights and labels may be used for


def cards() -> list[str]:
    """The variants whose weights have a card."""
    return sorted(path.stem for path in WEIGHTS.glob("*.md"))


def card(variant: str) -> str:
    """Markdown. Raises FileNotFoundError where there is none."""
    return (WEIGHTS / f"{variant}.md").read_text(encoding="utf-8")


def note(variant: str, weights: str | None = None, digest: str | None = None) -> str | None:
    """What whoever uses these labels must know, in one line: the quoted paragraph of the card, where it has one.

    weights, digest: as in a resolved config. A file of the user's own has no card, but a copy of the packaged one has.
    """
    name = packaged(variant, weights, digest)
    if name is None:
        return None
    quoted = [line.removeprefix(">").strip() for line in card(name).splitlines() if line.startswith(">")]
    return " ".join(quoted) or None


def packaged(variant: str, weights: str | None = None, digest: str | None = None) -> str | None:
    """The card of the weights that a teacher is opened from; None for those that are not in the package."""
    if weights is None:
        return variant if variant in cards() else None
    return next((name for name in cards() if digest is not None and _digest(name) == digest), None)


def notes(label: LabelConfig) -> dict[str, str]:
    """The note of each teacher of a resolved section that has one, by its name."""
    found = {one.teacher: note(one.teacher, one.weights, one.weights_sha256) for one in _teachers(label)}
    return {name: text for name, text in found.items() if text}


def terms(label: LabelConfig) -> str | None:
    """What the labels may be used for, where the weights of one of the section's teachers limit it."""
    names = (packaged(one.teacher, one.weights, one.weights_sha256) for one in _teachers(label))
    lines = [line for name in names if name for line in card(name).splitlines()]
    return next((line.removeprefix(TERMS).rstrip(".") for line in lines if line.startswith(TERMS)), None)


def _teachers(label: LabelConfig) -> tuple[LabelConfig | TeacherConfig, ...]:
    return (label, *label.teachers[1:])


def _digest(name: str) -> str | None:
    file = WEIGHTS / f"{name}.safetensors"
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
