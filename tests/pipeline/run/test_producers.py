"""Who writes a folder, and whose a file is."""

from __future__ import annotations

import pytest
from side_toys import SIDE_PROJECT, SideRescore
from toys import PROJECT, ToyIngest, ToyPhrases, ToyShard, ToyTrain

from pipeline.run.producers import find_producers, folders_of, owner, side_tables
from stages import STAGES, load_stage
from stages.audit.stage import AuditStage
from stages.evaluate.stage import EvaluateStage
from stages.stage import MapStage, Output, PartIO, PartResult

PRODUCERS = find_producers(PROJECT)


def test_each_folder_has_one_stage_and_rejects_are_of_those_that_carry_rows() -> None:
    assert {folder: producer.stage for folder, producer in PRODUCERS.items()} == {
        **{"pairs": ToyIngest, "rejects/ingest": ToyIngest},
        **{"phrases": ToyPhrases, "rejects/phrases": ToyPhrases},
        **{"shards": ToyShard, "rejects/shard": ToyShard},
        "student": ToyTrain,
    }
    assert folders_of(PRODUCERS, ToyShard) == ["shards", "rejects/shard"]
    assert [folder for folder, producer in PRODUCERS.items() if producer.by_result] == ["student"]


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("pairs/part-0000001.parquet", "pairs"),
        ("rejects/phrases/part-0000001.parquet", "rejects/phrases"),
        ("student/step-0001/rank-0/state", "student"),
        ("rejects/part-0000001.parquet", None),
        ("pairs", None),  # a file of that name lies in no folder
        ("pairs-2/part-0000001.parquet", None),
        ("config.yaml", None),
    ],
)
def test_a_file_is_of_the_stage_whose_folder_it_lies_in(path: str, folder: str | None) -> None:
    assert owner(PRODUCERS, path) is (None if folder is None else PRODUCERS[folder])


def test_the_deepest_folder_counts() -> None:
    """The audit's summaries of parts and the evaluations are no files of the report."""
    producers = find_producers([load_stage(name) for name in STAGES])
    found = {path: owner(producers, path) for path in ("report/index.html", "evaluation/coco-teacher.json")}
    assert [producer.stage for producer in found.values() if producer] == [AuditStage, EvaluateStage]
    nested = {"report": producers["report"], "report/summaries": producers["evaluation"]}
    assert owner(nested, "report/summaries/a.json") is producers["evaluation"]
    assert owner(nested, "report/a.json") is producers["report"]


def test_side_tables_are_what_lies_beside_another_dataset() -> None:
    found = {table.output.folder: table.output.aligned_with for table in side_tables(SIDE_PROJECT)}
    assert found == {"curation": "pairs", "lengths": "phrases", "scores": "phrases"}
    assert list(side_tables(PROJECT)) == []


def test_two_stages_with_one_folder_are_refused() -> None:
    class Second(MapStage):
        name = "second"
        outputs = (Output("scores"),)

        def run_part(self, io: PartIO) -> PartResult:
            raise NotImplementedError

    with pytest.raises(ValueError, match="score and second both write scores/"):
        find_producers([SideRescore, Second])
