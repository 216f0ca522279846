"""What failed is remembered until it is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from toys import ToyPhrases, ToyShard, ToyTrain

from pipeline.run.failures import Failure, failures, forget, remember
from pipeline.run.target import JOB, MERGED, Target, part_target
from pipeline.storage.local import LocalStorage
from stages.stage import Stage


@pytest.mark.parametrize(
    ("stage", "target", "where"),
    [
        (ToyPhrases, part_target(7), "phrases, part 7"),
        (ToyShard, part_target(7), "shard, part 7"),
        (ToyShard, MERGED, "shard, result"),
        (ToyTrain, JOB, "train"),
    ],
)
def test_it_is_remembered_until_it_is_forgotten(tmp_path: Path, stage: type[Stage], target: Target, where: str) -> None:
    storage = LocalStorage(str(tmp_path))
    failure = Failure(stage.name, target, "ValueError: no “such” thing")
    assert failure.where == where and failures(storage, stage) == {}
    remember(storage, Failure(stage.name, target, "the first time"))
    remember(storage, failure)
    assert failures(storage, stage) == {target: failure}
    forget(storage, stage.name, target)
    assert failures(storage, stage) == {}
    forget(storage, stage.name, target)  # no error


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff"])
def test_a_damaged_note_still_says_which_part_failed(tmp_path: Path, text: bytes) -> None:
    storage = LocalStorage(str(tmp_path))
    storage.write("state/failed/phrases/part-0000002.json", text)
    (failure,) = failures(storage, ToyPhrases).values()
    assert failure.where == "phrases, part 2" and "damaged" in failure.error
