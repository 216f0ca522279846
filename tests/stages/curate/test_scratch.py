"""Arrays come back from scratch files as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.storage.local import LocalStorage
from pipeline.storage.scratch import ScratchFolder
from stages.curate.scratch import load, mapped, opened, save


def test_arrays_come_back(tmp_path: Path) -> None:
    scratch = ScratchFolder(LocalStorage(str(tmp_path)))
    for shape in ((3, 4), (2, 0), (0,)):
        array = np.random.default_rng(0).integers(0, 2**63, shape, np.uint64)
        save(scratch, "array.npy", array)
        for found in (load(scratch, "array.npy"), opened(scratch, "array.npy")):
            assert found.dtype == array.dtype and found.shape == shape and np.array_equal(found, array)


def test_a_file_without_a_header_has_the_shape_that_it_is_given(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float16)
    (tmp_path / "rows").write_bytes(values.tobytes())
    assert np.array_equal(mapped(tmp_path / "rows", (3, 4), np.float16), values.reshape(3, 4))
    (tmp_path / "rows").write_bytes(b"")
    assert mapped(tmp_path / "rows", (0, 4)).shape == (0, 4)
