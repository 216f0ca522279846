"""Which backends there are, which one `auto` means, and what each needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from stages.phrases.decode import Chunked
from stages.phrases.distilled import Distilled
from stages.stage import UserError

NAMES = ("distilled", "spacy", "nltk")
DEFAULT = "distilled"  # the best by quality and by speed (benchmarks/results/phrases.json), and it is always there


class Backend(Protocol):
    """Finds chunks. Loads nothing until it is first asked; downloads nothing ever."""

    name: str

    @property
    def version(self) -> str:
        """What the result depends on: package, model, version, hash. Raises UserError where something is missing."""
        ...

    def chunk(self, captions: Sequence[str]) -> Iterator[Chunked]: ...


def open_backend(name: str) -> Backend:
    """The backend of that name; `auto` is the default one. Raises UserError for a name that does not exist."""
    if name in ("auto", "distilled"):
        return Distilled()
    if name == "spacy":
        from stages.phrases.spacy_backend import SpacyBackend

        return SpacyBackend()
    if name == "nltk":
        from stages.phrases.nltk_backend import NltkBackend

        return NltkBackend()
    raise UserError(f"phrases.backend: {name!r} is none of auto, {', '.join(NAMES)}")
