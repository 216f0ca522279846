"""Many scenes, drawn once."""

from __future__ import annotations

import pytest

from stages.synthetic import Scene, draw_scene


@pytest.fixture(scope="session")
def gold() -> list[Scene]:
    return [draw_scene("gold", 11, index) for index in range(2200)]


@pytest.fixture(scope="session")
def web() -> list[Scene]:
    return [draw_scene("web", 11, index) for index in range(1500)]
