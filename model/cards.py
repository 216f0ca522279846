"""Model cards of the packaged weights: what they were trained on, what they are good for, under which terms."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"  # that ship with the package, and their cards


def cards() -> list[str]:
    """The variants whose weights have a card."""
    return sorted(path.stem for path in WEIGHTS.glob("*.md"))


def card(variant: str) -> str:
    """Markdown. Raises FileNotFoundError where there is none."""
    return (WEIGHTS / f"{variant}.md").read_text(encoding="utf-8")


def note(variant: str, weights: str | None = None) -> str | None:
    """What whoever uses these labels must know, in one line: the quoted paragraph of the card, where it has one.

    weights: as in a config; a file of the user's own has no card here.
    """
    if weights is not None or variant not in cards():
        return None
    quoted = [line.removeprefix(">").strip() for line in card(variant).splitlines() if line.startswith(">")]
    return " ".join(quoted) or None
