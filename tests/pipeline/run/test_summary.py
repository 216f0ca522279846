"""The closing lines of a run."""

from __future__ import annotations

from pathlib import Path

from pipeline.run.state import RunState
from pipeline.run.summary import summary
from pipeline.run.target import JOB
from pipeline.storage.local import LocalStorage
from schemas.commit import CommitRecord, Counts
from schemas.config import Config
from stages.evaluate.stage import EvaluateStage
from stages.train.stage import TrainStage


def test_an_evaluation_is_said_with_its_figures_and_with_what_failed(tmp_path: Path) -> None:
    found = {
        "teacher": {"AP": 41.25, "precision": 0.9126},
        "student": {"AP": 7.0, "images failed": 1200, "mentions of unknown categories": 3},
    }
    state = RunState(LocalStorage(str(tmp_path)), [EvaluateStage], Config(), {})
    state.add(EvaluateStage, JOB, CommitRecord("evaluate", 0, "same", Counts(0, 0), (), 0.0, {}, found))
    assert sorted(summary(state)[1:]) == [
        "student    AP 7.0, 1,200 images failed, 3 mentions of unknown categories",
        "teacher    AP 41.2, precision 0.913",
    ]


def test_a_training_without_tensorboard_says_where_its_metrics_are(tmp_path: Path) -> None:
    def lines(**notes: bool) -> list[str]:
        state = RunState(LocalStorage(str(tmp_path)), [TrainStage], Config(), {})
        state.add(TrainStage, JOB, CommitRecord("train", 0, "same", Counts(0, 0), (), 0.0, {}, notes))
        return summary(state)[1:]

    assert lines(event_files=False) == [
        f"metrics    {tmp_path}/student/metrics.jsonl (curves: pip install 'phrasebox[tensorboard]')"
    ]
    assert lines(event_files=True) == lines() == []


def test_a_training_says_what_it_took_of_published_weights(tmp_path: Path) -> None:
    state = RunState(LocalStorage(str(tmp_path)), [TrainStage], Config(), {})
    start = {"visual": "173 of 179 tensors taken; left fresh: norm1.weight", "text": "197 of 197 tensors taken"}
    state.add(TrainStage, JOB, CommitRecord("train", 0, "same", Counts(0, 0), (), 0.0, {}, {"start": start}))
    assert summary(state)[1:] == [
        "start      text: 197 of 197 tensors taken",
        "start      visual: 173 of 179 tensors taken; left fresh: norm1.weight",
    ]
