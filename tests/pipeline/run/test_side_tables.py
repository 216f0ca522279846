"""Side tables: aligned with a dataset, read where their stage is turned on, accounted for like everything else."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drive import crash_before
from side_toys import ON, SIDE_PROJECT, SideCurate, SidePhrases, SideRescore
from toy_runs import data_files, make_config, run_toys, words_in_shards

from pipeline.execution.inline import InlineExecutor
from pipeline.run.config import resolve
from pipeline.run.dry_run import dry_run
from pipeline.run.edit import note_removal, parts_with_reason
from pipeline.run.plan import read_plan
from pipeline.run.producers import find_producers
from pipeline.run.progress import Display
from pipeline.run.runner import Report, Runner, Selection
from pipeline.run.sections import config_class
from pipeline.run.state import RunState
from pipeline.run.status import as_lines, run_status
from pipeline.run.summary import summary
from pipeline.run.verify import verify
from pipeline.storage.files import sha256_of
from pipeline.storage.open import open_storage
from schemas.commit import CommitRecord
from schemas.config import Config
from stages.audit.stage import AuditStage
from stages.ingest.stage import IngestStage
from stages.phrases.stage import PhrasesStage
from stages.stage import Input, MapStage, Output, PartIO, PartResult, Stage

LINES = ["red fox", "a red fox", "odd fox", "blue bird", "secret leak", "bad line", "one two three", "green bird"]
UNLIKE = "does not have the keys of"
NOT_KEPT = {"odd fox": "near_duplicate", "secret leak": "benchmark_leak", "green bird": "near_duplicate"}


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "pairs"
    folder.mkdir()
    (folder / "a.txt").write_text("\n".join(LINES) + "\n")
    (folder / "b.txt").write_text("odd thing\nquiet place\n")
    return folder


def side_config(run: Path, source: Path, **settings: Any) -> Config:
    return make_config(run, source, SIDE_PROJECT, **settings)


def make(config: Config, executor: Any = None, force: bool = False, **more: Any) -> Report:
    """As `phrasebox run` does: the stages that are turned on."""
    chosen = tuple(stage.name for stage in SIDE_PROJECT if stage.enabled(config))
    return run_toys(config, executor, SIDE_PROJECT, stages=chosen, force=force, **more)


def state_of(config: Config, trust_index: bool = True) -> RunState:
    storage = open_storage(config.run)
    return RunState(storage, SIDE_PROJECT, config, read_plan(storage), trust_index=trust_index)


def problems(config: Config, quick: bool = False) -> list[str]:
    return [str(problem) for problem in verify(state_of(config), quick).problems]


def record(run: Path, stage: str, name: str) -> CommitRecord:
    return CommitRecord.from_json((run / f"commits/{stage}/{name}.json").read_text())


def rows(run: Path, dataset: str) -> list[dict[str, Any]]:
    return [row for path in sorted((run / dataset).glob("part-*")) for row in pq.read_table(path).to_pylist()]


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
    assert report.made == {"ingest": 3, "curate": 4, "phrases": 3, "count": 1, "rescore": 3, "shard": 4, "train": 1}
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
    assert [captions[row["key"]] for row in rows(run, "rejects/rescore")] == ["odd thing"]
    assert problems(config) == [] and problems(config, quick=True) == []
    assert make(config).made == {}
    assert "set aside  3 (2 near_duplicate, 1 benchmark_leak)" in summary(state_of(config))
    assert "scores     3 parts, beside phrases" in summary(state_of(config))


def test_one_that_is_turned_off_again_is_not_read(tmp_path: Path, pairs: Path) -> None:
    run, never = tmp_path / "run", tmp_path / "never"
    make(side_config(run, pairs, **ON))
    scores = {path: sha for path, sha in data_files(run).items() if path.startswith("scores/")}
    half_on = {**ON, "rescore": {"on": False}}
    config = side_config(run, pairs, **half_on)
    assert problems(config) != []  # the shards hold scores that the config does not ask for
    assert make(config).made == {"shard": 4, "train": 1}
    make(side_config(never, pairs, **half_on))
    shards = {path: sha for path, sha in data_files(run).items() if path.startswith("shards/")}
    assert shards == {path: sha for path, sha in data_files(never).items() if path.startswith("shards/")}
    assert problems(config) == []  # the scores are still there, whole, and read by nobody
    assert {path: sha for path, sha in data_files(run).items() if path.startswith("scores/")} == scores
    text = "\n".join(as_lines(run_status(open_storage(str(run)), SIDE_PROJECT, config)))
    assert "rescore   3/3 done" in text and "off, so that no other stage reads it" in text
    # without the curation, all captions come back, and the forgotten scores do not become a problem
    off = side_config(run, pairs)
    assert make(off).made == {"phrases": 3, "shard": 3, "train": 1}  # the third part's phrases are what they were
    assert len(rows(run, "phrases")) == len(LINES) + 2 - 1 and problems(off) == []
    assert "  curate    3/3 done" in "\n".join(as_lines(run_status(open_storage(str(run)), SIDE_PROJECT, off)))
    # and on again: what still fits is not computed again
    assert make(side_config(run, pairs, **ON)).made == {"phrases": 3, "shard": 4, "train": 1}
    fresh = tmp_path / "fresh"
    make(side_config(fresh, pairs, **ON))
    assert data_files(run) == data_files(fresh) and problems(side_config(run, pairs, **ON)) == []


def test_as_a_command_it_runs_though_it_is_off(tmp_path: Path, pairs: Path) -> None:
    config = side_config(tmp_path / "run", pairs)
    make(config)
    assert run_toys(config, project=SIDE_PROJECT, stages=("curate",)).made == {"curate": 4}
    assert len(rows(tmp_path / "run", "curation")) == len(LINES) + 2 - 1
    assert make(config).made == {} and problems(config) == []


def test_parts_wait_for_a_table_that_is_turned_on(tmp_path: Path, pairs: Path) -> None:
    """And for the result of the whole run: a run of some parts goes as far as it can, and says what waits."""
    config = side_config(tmp_path / "run", pairs, **ON)
    report = make(config, parts={0})
    assert report.made == {"ingest": 1, "curate": 1}
    assert report.waiting == {"curate": 1, "phrases": 1, "count": 1, "rescore": 1, "shard": 1, "train": 1}
    assert make(config).made["phrases"] == 3


def test_a_change_reaches_what_reads_the_result_of_the_whole_run(tmp_path: Path, pairs: Path) -> None:
    run = tmp_path / "run"
    make(side_config(run, pairs, **ON))
    assert make(side_config(run, pairs, **{**ON, "rescore": {"on": True, "factor": 2.0}})).made == {
        "rescore": 3,
        "shard": 4,
        "train": 1,
    }
    (pairs / "c.txt").write_text("late fox\n")  # a duplicate: the counts are what they were
    report = make(side_config(run, pairs, **{**ON, "rescore": {"on": True, "factor": 2.0}}))
    assert report.made == {"ingest": 1, "curate": 2, "phrases": 1, "count": 1, "rescore": 1, "shard": 2, "train": 1}
    (pairs / "d.txt").write_text("late red bus\n")  # "red" is counted once more, which every part reads
    report = make(side_config(run, pairs, **{**ON, "rescore": {"on": True, "factor": 2.0}}))
    assert report.made["phrases"] == 1 and report.made["curate"] == 2 and report.made["rescore"] == 5
    fresh = tmp_path / "fresh"
    make(side_config(fresh, pairs, **{**ON, "rescore": {"on": True, "factor": 2.0}}))
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
    project: list[type[Stage]] = [IngestStage, SideCurate, PhrasesStage, AuditStage]
    captions = ["a red fox", "an old fox", "two birds on a wire", "the secret leak", "a blue bus"]
    (tmp_path / "a.tsv").write_text("caption\turl\n" + "".join(f"{text}\thttps://a/{text}\n" for text in captions))
    ingest = {"source": str(tmp_path / "a.tsv"), "format": "table", "caption": "caption", "url": "url"}
    run = tmp_path / "run"
    config = config_class(project).model_validate({"run": str(run), "ingest": ingest, "curate": {"on": True}})
    config = resolve(config, project, project)
    report = run_toys(config, project=project)
    assert report.made == {"ingest": 1, "curate": 2, "phrases": 1, "audit": 2} and not report.failed
    assert [row["caption"] for row in rows(run, "phrases")] == ["a red fox", "two birds on a wire", "a blue bus"]
    counts = record(run, "phrases", "part-0000000").counts
    assert (counts.in_, counts.out, counts.set_aside) == (5, 3, {"benchmark_leak": 1, "near_duplicate": 1})
    storage = open_storage(str(run))
    assert verify(RunState(storage, project, config, read_plan(storage))).problems == []
    stats = json.loads((run / "report/stats.json").read_text())
    assert (stats["pairs"], stats["pairs_with_phrases"]) == (5, 3)
    assert stats["side_tables"] == {"curation": {"rows": 5, "set_aside": dict(counts.set_aside)}}


# -- verify ------------------------------------------------------------------------------------------------------------


def own_up(run: Path, stage: str, name: str) -> None:
    """Makes a record agree with its files again, as a careful forger would."""
    path = run / f"commits/{stage}/{name}.json"
    data = json.loads(path.read_text())
    for entry in data["files"]:
        entry["size"] = (run / entry["path"]).stat().st_size
        entry["sha256"] = sha256_of(open_storage(str(run)), entry["path"])
    path.write_text(json.dumps(data))


def rewrite(path: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    table = pq.read_table(path)
    listed = table.to_pylist()
    change(listed)
    pq.write_table(pa.Table.from_pylist(listed, schema=table.schema), path)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    (folder / "pairs").mkdir()
    (folder / "pairs/a.txt").write_text("\n".join(LINES) + "\n")
    make(side_config(folder / "run", folder / "pairs", **ON))
    return folder / "run"


@pytest.mark.parametrize(
    ("path", "stage", "name", "change", "expected"),
    [
        (
            "scores/part-0000000.parquet",
            "rescore",
            "part-0000000",
            lambda rows: rows[1]["boxes"].pop(),
            "rescore, part 0: scores/part-0000000.parquet has 2 boxes for 000000000001, phrases has 3 phrases",
        ),
        (
            "scores/part-0000000.parquet",
            "rescore",
            "part-0000000",
            lambda rows: rows[1].update(key="000000000002"),  # which was set aside
            f"rescore, part 0: scores/part-0000000.parquet {UNLIKE} phrases in their order, e.g. 000000000002",
        ),
        (
            "scores/part-0000000.parquet",
            "rescore",
            "part-0000000",
            lambda rows: rows.pop(0),
            "rescore, part 0: the record says out = 3, the files say 2",
        ),
        (
            "curation/part-0000001.parquet",
            "curate",
            "result",
            lambda rows: rows.pop(),
            f"curate, result: curation/part-0000001.parquet {UNLIKE} pairs in their order, e.g. 000000100003",
        ),
        (
            "curation/part-0000001.parquet",
            "curate",
            "result",
            lambda rows: rows.reverse(),
            f"curate, result: curation/part-0000001.parquet {UNLIKE} pairs in their order, e.g. 000000100003",
        ),
        (
            "curation/part-0000000.parquet",
            "curate",
            "result",
            lambda rows: rows[0].update(keep=False, reason="exact_duplicate"),
            "phrases, part 0: curation sets 1 rows aside as exact_duplicate, the record fewer",
        ),
        (
            "lengths/part-0000000.parquet",
            "count",
            "part-0000000",
            lambda rows: rows.append({"key": "000000000009", "length": 1}),
            f"count: lengths/part-0000000.parquet {UNLIKE} phrases in their order, e.g. 000000000009",
        ),
    ],
)
def test_a_broken_alignment_is_named(
    good: Path,
    tmp_path: Path,
    path: str,
    stage: str,
    name: str,
    change: Callable[[list[dict[str, Any]]], None],
    expected: str,
) -> None:
    run = shutil.copytree(good, tmp_path / "run")
    config = side_config(run, good.parent / "pairs", **ON)
    assert problems(config) == []
    rewrite(run / path, change)
    assert any(f"{path} has" in text for text in problems(config))  # its bytes are not those of the record
    own_up(run, stage, name)
    assert expected in problems(config)
    if len(rows(run, path.partition("/")[0])) != len(rows(good, path.partition("/")[0])):
        assert problems(config, quick=True) != []
    off = side_config(run, good.parent / "pairs", **{**ON, stage: {"on": False}})
    assert not any("keys of" in text or "boxes for" in text for text in problems(off))


def test_a_lost_part_file_of_a_result_is_named_and_made_again(good: Path, tmp_path: Path) -> None:
    run = shutil.copytree(good, tmp_path / "run")
    config = side_config(run, good.parent / "pairs", **ON)
    (run / "curation/part-0000001.parquet").unlink()
    (run / "curation/part-0000009.parquet").write_bytes(b"left over")
    assert problems(config, quick=True) == [
        "curate, result: curation/part-0000001.parquet is missing",
        "curate, part 9: curation/part-0000009.parquet belongs to no commit record",
    ]
    (run / "curation/part-0000009.parquet").unlink()
    assert make(config).made == {"curate": 1}
    assert data_files(run) == data_files(good)


def test_a_merge_that_fails_half_way_leaves_no_record_behind(
    tmp_path: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first part file is new, the others are not: nothing may pass for the result of either."""
    run = tmp_path / "run"
    make(side_config(run, pairs, **ON))
    (pairs / "0.txt").write_text("new fox\n")  # sorts first, and so decides about the others
    row = SideCurate._row

    def stumbling(self: SideCurate, key: str, end: str, first: dict[str, str]) -> dict[str, Any]:
        if key.startswith("0000001"):
            raise ValueError("not today")
        return row(self, key, end, first)

    monkeypatch.setattr(SideCurate, "_row", stumbling)
    config = side_config(run, pairs, **ON)
    report = make(config)
    assert [failure.where for failure in report.failed] == ["curate, result"]
    assert not (run / "commits/curate/result.json").exists() and report.waiting["phrases"] == 4
    monkeypatch.setattr(SideCurate, "_row", row)
    assert make(config).made["curate"] == 1 and problems(config) == []


# -- other commands ----------------------------------------------------------------------------------------------------


def test_a_dry_run_knows_what_follows_from_what(good: Path, tmp_path: Path) -> None:
    run = shutil.copytree(good, tmp_path / "run")

    def plan(**settings: Any) -> dict[str, str]:
        config = side_config(run, good.parent / "pairs", **settings)
        chosen = [stage for stage in SIDE_PROJECT if stage.enabled(config)]
        lines = dry_run(state_of(config), Selection(chosen), 1)
        return {line.split()[0]: " ".join(line.split()[1:]).partition(",")[0] for line in lines[1:-1]}

    assert set(plan(**ON).values()) == {"done"} and "rescore" in plan(**ON)
    assert "rescore" not in plan() and plan()["phrases"] == "2 parts" and plan()["train"] == "to be made"
    changed = plan(**{**ON, "rescore": {"on": True, "factor": 3.0}})
    assert (changed["count"], changed["rescore"], changed["shard"]) == ("done", "2 parts", "2 parts")
    (run / "commits/curate/part-0000001.json").unlink()
    assert plan(**ON)["phrases"] == "2 parts" and plan(**ON)["count"] == "to be made"  # one part, read by all


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
    assert [stage.name for stage in stages] == ["ingest", "curate", "phrases", "count", "rescore", "shard"]
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
    assert again == {"rescore": {2}}
    assert run_again(config, Selection(SIDE_PROJECT, again=again, replan=False)).made == {"rescore": 1}
    assert parts_with_reason(state_of(side_config(tmp_path / "run", pairs)), "non_finite_scores") == {}  # it is off


def test_status_names_them_by_what_they_declare(good: Path) -> None:
    config = side_config(good, good.parent / "pairs", **ON)
    lines = as_lines(run_status(open_storage(str(good)), SIDE_PROJECT, config))
    assert "  curate    2/2 done, 7 pairs in, 7 out, 0 rejected" in lines
    assert "  phrases   2/2 done, 7 pairs in, 4 out, 0 rejected, 1 benchmark_leak, 2 near_duplicate" in lines
    assert "  count     1/1 done" in lines
    off = as_lines(run_status(open_storage(str(good.parent)), SIDE_PROJECT, side_config(good, "unused")))
    assert "  rescore   off" in off


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
    row = SideCurate._row
    monkeypatch.setattr(SideCurate, "_row", lambda *args: {**row(*args), "keep": False, "reason": "because"})
    (failure, *_) = make(side_config(tmp_path / "run", pairs, curate={"on": True})).failed
    assert failure.where == "phrases, part 0" and "no reason to set a row aside: because" in failure.error


def test_two_stages_with_one_folder_are_refused() -> None:
    class Second(MapStage):
        name = "second"
        outputs = (Output("scores"),)

        def run_part(self, io: PartIO) -> PartResult:
            raise NotImplementedError

    with pytest.raises(ValueError, match="rescore and second both write scores/"):
        find_producers([SideRescore, Second])


def test_only_side_tables_wait() -> None:
    assert Input("gold", need="if_present").optional and Input("curation", need="if_enabled").optional
    assert not Input("pairs").optional


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
