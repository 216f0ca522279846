"""A checkpoint of each family, made once, and the teacher that it opens."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from model import teachers
from model.teachers.transformers import TransformersTeacher
from schemas.config import LabelConfig
from tests.checkpoints import write_checkpoint

Folder = Callable[[str], Path]
Open = Callable[[str], TransformersTeacher]


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Of a family; the tests only read it."""

    @lru_cache
    def folder(family: str) -> Path:
        return write_checkpoint(family, tmp_path_factory.mktemp(family) / "checkpoint")

    return folder


@pytest.fixture(scope="session")
def open_family(folder_of: Folder) -> Open:
    @lru_cache
    def opened(family: str) -> TransformersTeacher:
        label = LabelConfig(teacher="transformers", weights=str(folder_of(family)), device="cpu")
        teacher = teachers.open_teacher(label.model_copy(update=teachers.resolve(label, "photos")))
        assert isinstance(teacher, TransformersTeacher)
        return teacher

    return opened


@pytest.fixture(scope="session")
def images() -> list[np.ndarray]:
    """Noise of several sizes, two of them equal."""
    rng = np.random.default_rng(5)
    sizes = ((80, 100), (120, 70), (80, 100), (60, 150))
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
