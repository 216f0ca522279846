"""Records cost nothing to import, and cannot be changed."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from schemas import rows

ROOT = Path(__file__).resolve().parents[2]
RECORDS = [kind for kind in vars(rows).values() if dataclasses.is_dataclass(kind)]


def test_no_array_library_is_loaded() -> None:
    code = "import schemas.rows, sys; print(sorted({'numpy', 'pyarrow', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_a_record_is_frozen_and_holds_its_fields_alone(record: type) -> None:
    fields = [field.name for field in dataclasses.fields(record)]
    made = record(*range(len(fields)))
    assert [getattr(made, name) for name in fields] == list(range(len(fields))) and not hasattr(made, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, fields[0], 1)


def test_a_box_has_its_corners_in_the_order_of_their_columns() -> None:
    box = rows.Box(phrase=2, x1=1.0, y1=2.0, x2=3.0, y2=4.0, score=0.5)
    assert box.corners == tuple(getattr(box, name) for name in rows.CORNERS) == (1.0, 2.0, 3.0, 4.0)
