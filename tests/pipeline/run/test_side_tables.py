"""Side tables: aligned with a dataset, read where their stage is turned on, accounted for like everything else."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from drive import crash_before
from side_toys import ON, SIDE_PROJECT, SidePhrases, SideRescore, SideWinnow
from toy_runs import data_files, make_config, run_toys, words_in_shards

from pipeline.execution.inline import InlineExecutor
from pipeline.run.config import resolve
from pipeline.run.edit import note_removal, parts_with_reason
from pipeline.run.plan import read_plan
from pipeline.run.progress import Display
from pipeline.run.runner import Report, Runner, Selection
from pipeline.run.sections import config_class
from pipeline.run.state import RunState
from pipeline.run.status import as_lines, run_status
from pipeline.run.summary import summary
from pipeline.run.verify import verify
from pipeline.storage.open import open_storage
from schemas.config import Config
from stages.audit.stage import AuditStage
from stages.ingest.stage import IngestStage
from stages.phrases.stage import PhrasesStage
from stages.stage import PartIO, PartResult, Stage
from tests.pipeline.side_runs import LINES, make, problems, record, rows, side_config, state_of

NOT_KEPT = {"odd fox": "near_duplicate", "secret leak": "benchmark_leak", "green bird": "near_duplicate"}


def test_turned_off_they_leave_no_trace(tmp_path: Path, pairs: Path) -> None:
    """Bytes and fingerprints are those of a project that has no such stages, and a run of that one is current."""
    main = [stage for stage in SIDE_PROJECT if stage.section is None]
    run_toys(make_config(tmp_path / "main", pairs), project=main)
    config = side_config(tmp_path / "main", pairs)
    assert make(config).made == {} and problems(config) == []
    assert not any((tmp_path / "main" / name).exists() for name in ("curation", "counts", "scores"))


def test_what_is_not_kept_is_set_aside_by_reason_and_all_adds_up(tmp_path: Path, pairs: Path) -> None:
    run = tmp_path / "run"
    config = side_config(run, pairs, **ON)
    report = make(config)
    assert report.made == {"ingest": 3, "winnow": 4, "phrases": 3, "count": 1, "score": 3, "shard": 4, "train": 1}
    assert not report.failed and not report.waiting
    captions = {row["key"]: row["caption"] for row in rows(run, "pairs")}
    curation = rows(run, "curation")
    assert [row["key"] for row in curation] == list(captions)  # every pair, kept or not
    assert {captions[row["key"]]: row["reason"] for row in curation if not row["keep"]} == NOT_KEPT
    kept = [row["caption"] for row in rows(run, "phrases")]
    assert kept == [caption for caption in captions.values() if caption not in NOT_KEPT]
    counts = record(run, "phrases", "part-0000000").counts
    assert (counts.in_, counts.out, counts.set_aside) == (4, 3, {"near_duplicate": 1})
    counts = record(run, "phrases", "part-0000001").counts
    assert (counts.in_, counts.out, counts.set_aside) == (3, 1, {"benchmark_leak": 1, "near_duplicate": 1})
    # scores: a number for each phrase, from the counts of the whole run; what could not be scored is a reject
    words = Counter(word for caption in kept for word in caption.lower().split(" "))
    scored = {captions[row["key"]]: [box["score"] for box in row["boxes"]] for row in rows(run, "scores")}
    assert scored == {c: [words[w] for w in c.lower().split(" ")] for c in kept if not c.startswith("odd")}
    assert [captions[row["key"]] for row in rows(run, "rejects/score")] == ["odd thing"]
    assert problems(config) == [] and problems(config, quick=True) == []
    assert make(config).made == {}
    assert "set aside  3 (2 near_duplicate, 1 benchmark_leak)" in summary(state_of(config))
    assert "scores     3 parts, beside phrases" in summary(state_of(config))


def test_one_that_is_turned_off_again_is_not_read(tmp_path: Path, pairs: Path) -> None:
    run, never = tmp_path / "run", tmp_path / "never"
    make(side_config(run, pairs, **ON))
    scores = {path: sha for path, sha in data_files(run).items() if path.startswith("scores/")}
    half_on = {**ON, "score": {"on": False}}
    config = side_config(run, pairs, **half_on)
    assert problems(config) != []  # the shards hold scores that the config does not ask for
    assert make(config).made == {"shard": 4, "train": 1}
    make(side_config(never, pairs, **half_on))
    shards = {path: sha for path, sha in data_files(run).items() if path.startswith("shards/")}
    assert shards == {path: sha for path, sha in data_files(never).items() if path.startswith("shards/")}
    assert problems(config) == []  # the scores are still there, whole, and read by nobody
    assert {path: sha for path, sha in data_files(run).items() if path.startswith("scores/")} == scores
    text = "\n".join(as_lines(run_status(open_storage(str(run)), SIDE_PROJECT, config)))
    assert "score     3/3 done" in text and "off, so that no other stage reads it" in text
    # without the curation, all captions come back, and the forgotten scores do not become a problem
    off = side_config(run, pairs)
    assert make(off).made == {"phrases": 3, "shard": 3, "train": 1}  # the third part's phrases are what they were
    assert len(rows(run, "phrases")) == len(LINES) + 2 - 1 and problems(off) == []
    assert "  winnow    3/3 done" in "\n".join(as_lines(run_status(open_storage(str(run)), SIDE_PROJECT, off)))
    # and on again: what still fits is not computed again
    assert make(side_config(run, pairs, **ON)).made == {"phrases": 3, "shard": 4, "train": 1}
    fresh = tmp_path / "fresh"
    make(side_config(fresh, pairs, **ON))
    assert data_files(run) == data_files(fresh) and problems(side_config(run, pairs, **ON)) == []


def test_as_a_command_it_runs_though_it_is_off(tmp_path: Path, pairs: Path) -> None:
    config = side_config(tmp_path / "run", pairs)
    make(config)
    assert run_toys(config, project=SIDE_PROJECT, stages=("winnow",)).made == {"winnow": 4}
    assert len(rows(tmp_path / "run", "curation")) == len(LINES) + 2 - 1
    assert make(config).made == {} and problems(config) == []


def test_parts_wait_for_a_table_that_is_turned_on(tmp_path: Path, pairs: Path) -> None:
    """And for the result of the whole run: a run of some parts goes as far as it can, and says what waits."""
    config = side_config(tmp_path / "run", pairs, **ON)
    report = make(config, parts={0})
    assert report.made == {"ingest": 1, "winnow": 1}
    assert report.waiting == {"winnow": 1, "phrases": 1, "count": 1, "score": 1, "shard": 1, "train": 1}
    assert make(config).made["phrases"] == 3


def test_a_change_reaches_what_reads_the_result_of_the_whole_run(tmp_path: Path, pairs: Path) -> None:
    run = tmp_path / "run"
    make(side_config(run, pairs, **ON))
    assert make(side_config(run, pairs, **{**ON, "score": {"on": True, "factor": 2.0}})).made == {
        "score": 3,
        "shard": 4,
        "train": 1,
    }
    (pairs / "c.txt").write_text("late fox\n")  # a duplicate: the counts are what they were
    report = make(side_config(run, pairs, **{**ON, "score": {"on": True, "factor": 2.0}}))
    assert report.made == {"ingest": 1, "winnow": 2, "phrases": 1, "count": 1, "score": 1, "shard": 2, "train": 1}
    (pairs / "d.txt").write_text("late red bus\n")  # "red" is counted once more, which every part reads
    report = make(side_config(run, pairs, **{**ON, "score": {"on": True, "factor": 2.0}}))
    assert report.made["phrases"] == 1 and report.made["winnow"] == 2 and report.made["score"] == 5
    fresh = tmp_path / "fresh"
    make(side_config(fresh, pairs, **{**ON, "score": {"on": True, "factor": 2.0}}))
    assert data_files(run) == data_files(fresh)


def test_parts_that_leave_the_source_leave_the_tables_of_results_too(tmp_path: Path, pairs: Path) -> None:
    run = tmp_path / "run"
    make(side_config(run, pairs, **ON))
    (pairs / "b.txt").unlink()
    config = side_config(run, pairs, **ON)
    make(config)
    for folder in ("curation", "lengths"):
        assert sorted(path.name[5:12] for path in (run / folder).iterdir()) == ["0000000", "0000001"]
    assert problems(config) == []


def test_the_real_phrases_see_what_a_curation_keeps(tmp_path: Path) -> None:
    """And the report counts it: pairs, what each table does not keep, and phrases of the rest."""
    project: list[type[Stage]] = [IngestStage, SideWinnow, PhrasesStage, AuditStage]
    captions = ["a red fox", "an old fox", "two birds on a wire", "the secret leak", "a blue bus"]
    (tmp_path / "a.tsv").write_text("caption\turl\n" + "".join(f"{text}\thttps://a/{text}\n" for text in captions))
    ingest = {"source": str(tmp_path / "a.tsv"), "format": "table", "caption": "caption", "url": "url"}
    run = tmp_path / "run"
    config = config_class(project).model_validate({"run": str(run), "ingest": ingest, "winnow": {"on": True}})
    config = resolve(config, project, project)
    report = run_toys(config, project=project)
    assert report.made == {"ingest": 1, "winnow": 2, "phrases": 1, "audit": 2} and not report.failed
    assert [row["caption"] for row in rows(run, "phrases")] == ["a red fox", "two birds on a wire", "a blue bus"]
    counts = record(run, "phrases", "part-0000000").counts
    assert (counts.in_, counts.out, counts.set_aside) == (5, 3, {"benchmark_leak": 1, "near_duplicate": 1})
    storage = open_storage(str(run))
    assert verify(RunState(storage, project, config, read_plan(storage))).problems == []
    stats = json.loads((run / "report/stats.json").read_text())
    assert (stats["pairs"], stats["pairs_with_phrases"]) == (5, 3)
    assert stats["side_tables"] == {"curation": {"rows": 5, "set_aside": dict(counts.set_aside)}}


def test_a_merge_that_fails_half_way_leaves_no_record_behind(
    tmp_path: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first part file is new, the others are not: nothing may pass for the result of either."""
    run = tmp_path / "run"
    make(side_config(run, pairs, **ON))
    (pairs / "0.txt").write_text("new fox\n")  # sorts first, and so decides about the others
    row = SideWinnow._row

    def stumbling(self: SideWinnow, key: str, end: str, first: dict[str, str]) -> dict[str, Any]:
        if key.startswith("0000001"):
            raise ValueError("not today")
        return row(self, key, end, first)

    monkeypatch.setattr(SideWinnow, "_row", stumbling)
    config = side_config(run, pairs, **ON)
    report = make(config)
    assert [failure.where for failure in report.failed] == ["winnow, result"]
    assert not (run / "commits/winnow/result.json").exists() and report.waiting["phrases"] == 4
    monkeypatch.setattr(SideWinnow, "_row", row)
    assert make(config).made["winnow"] == 1 and problems(config) == []


def run_again(config: Config, selection: Selection) -> Report:
    storage = open_storage(config.run)
    return Runner(storage, config, SIDE_PROJECT, InlineExecutor(), Display(storage)).run(selection)


def test_a_removed_pair_leaves_the_side_tables_and_what_they_decided(tmp_path: Path, pairs: Path) -> None:
    """With "red fox" gone, "odd fox" is no duplicate any more, in whatever part it lies."""
    from pipeline.cli.commands import spreads, writes_parts

    run = tmp_path / "run"
    config = side_config(run, pairs, **ON)
    make(config)
    note_removal(open_storage(config.run), [0, 1, 2], ["line 0"])
    stages = [stage for stage in SIDE_PROJECT if writes_parts(stage)]
    assert [stage.name for stage in stages] == ["ingest", "winnow", "phrases", "count", "score", "shard"]
    assert spreads(state_of(config), stages)
    run_again(config, Selection(stages, replan=False))
    assert "odd fox" in [row["caption"] for row in rows(run, "phrases")]
    everything = " ".join(str(pq.read_table(path).to_pylist()) for path in run.rglob("*.parquet"))
    assert "'red fox'" not in everything and '"red fox"' not in words_in_shards(run)
    assert [text for text in problems(config) if not text.startswith("train")] == []


def test_rejected_rows_of_a_side_stage_are_tried_again(tmp_path: Path, pairs: Path) -> None:
    config = side_config(tmp_path / "run", pairs, **ON)
    make(config)
    again = parts_with_reason(state_of(config), "non_finite_scores")
    assert again == {"score": {2}}
    assert run_again(config, Selection(SIDE_PROJECT, again=again, replan=False)).made == {"score": 1}
    assert parts_with_reason(state_of(side_config(tmp_path / "run", pairs)), "non_finite_scores") == {}  # it is off


def test_status_names_them_by_what_they_declare(good: Path) -> None:
    config = side_config(good, good.parent / "pairs", **ON)
    lines = as_lines(run_status(open_storage(str(good)), SIDE_PROJECT, config))
    assert "  winnow    2/2 done, 7 pairs in, 7 out, 0 rejected" in lines
    assert "  phrases   2/2 done, 7 pairs in, 4 out, 0 rejected, 1 benchmark_leak, 2 near_duplicate" in lines
    assert "  count     1/1 done" in lines
    off = as_lines(run_status(open_storage(str(good.parent)), SIDE_PROJECT, side_config(good, "unused")))
    assert "  score     off" in off


# -- declarations that cannot be right --------------------------------------------------------------------------------


def test_a_stage_reads_only_what_it_declares(tmp_path: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def curious(self: SidePhrases, io: PartIO) -> PartResult:
        io.read("scores")
        raise AssertionError("the scores were handed out")

    monkeypatch.setattr(SidePhrases, "run_part", curious)
    (failure, *_) = make(side_config(tmp_path / "run", pairs)).failed
    assert "scores/ is not among the stage's inputs" in failure.error


def test_an_unknown_reason_to_set_aside_fails_the_part(
    tmp_path: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = SideWinnow._row
    monkeypatch.setattr(SideWinnow, "_row", lambda *args: {**row(*args), "keep": False, "reason": "because"})
    (failure, *_) = make(side_config(tmp_path / "run", pairs, winnow={"on": True})).failed
    assert failure.where == "phrases, part 0" and "no reason to set a row aside: because" in failure.error


# -- kills ---------------------------------------------------------------------------------------------------------


def killed_at(run: Path, source: Path, change: int) -> bool:
    """Runs in a forked process that dies before its n-th change; False when it ended before that."""
    child = os.fork()
    if child == 0:
        crash_before(change)
        report = make(side_config(run, source, **ON))
        os._exit(1 if report.failed or report.waiting else 0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def test_killed_at_many_moments_it_ends_with_the_same_bytes(quick_path: Path, tmp_path: Path, pairs: Path) -> None:
    make(side_config(quick_path / "calm", pairs, **ON))
    expected = data_files(quick_path / "calm")
    points = 0
    for change in range(1, 1000, 5):
        run = quick_path / f"killed-{change}"
        if not killed_at(run, pairs, change):
            break
        points += 1
        config = side_config(run, pairs, **ON)
        report = make(config)
        assert not report.failed and data_files(run) == expected, f"killed before change {change}"
        assert problems(config) == [] and make(config).made == {}
    assert points >= 20


def test_what_a_stage_finds_odd_in_its_own_tables_is_a_problem(
    tmp_path: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked with the part's tables and its record: not in a hurry, and not where it is turned off."""
    run = tmp_path / "run"
    config = side_config(run, pairs, **ON)
    make(config)

    def contradictions(tables: Any, record: Any) -> Any:
        yield f"{tables.read('scores', ['key']).num_rows} of {record.counts.out} scores are odd"

    monkeypatch.setattr(SideRescore, "contradictions", contradictions)
    counts = [record(run, "score", f"part-000000{part}").counts.out for part in range(3)]
    found = problems(config)
    assert len(found) == 3 and [text.partition(": ")[2] for text in found] == [
        f"{count} of {count} scores are odd" for count in counts
    ]
    assert problems(config, quick=True) == []
    turned_off = problems(side_config(run, pairs, **{**ON, "score": {"on": False}}))  # shard waits for the next run
    assert turned_off and not any("odd" in text for text in turned_off)
