"""Marks of config fields that do not change the result, or enter the fingerprint in a form of their own.

They work without pydantic, which a machine that only labels may lack.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Only(Enum):
    """Marks a field whose value does not enter the fingerprint of any stage."""

    SPEED = "how fast the result is there"
    PLACE = "where something runs or lies"
    PLAN = "what there is to do: which parts (they enter by their slices), which rounds, which optional stages"
    LIMIT = "when to give up"
    DIGEST = "the name or the digest of something that is looked at itself: the stage adds what it finds there"


@dataclass(frozen=True)
class Enters:
    """Marks a field that enters the fingerprint in another form, e.g. a device by its type."""

    form: Callable[[Any], Any]


@dataclass(frozen=True)
class EntersUnless:
    """Marks a field that is younger than some runs: at this value, what was done before there was a choice, it does not
    enter the fingerprint, and those runs stay current."""

    before: Any


def device_type(device: str) -> str:
    """`cuda:1` -> `cuda`: results depend on the type of a device, not on its number."""
    return device.partition(":")[0]
