"""Rows tried again, and pairs taken out; on the real stages up to phrases and on toys down to the shards."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from toy_runs import data_files, make_config, run_toys, words_in_shards, write_source
from toys import PROJECT

from pipeline.cli.app import main
from pipeline.execution.inline import InlineExecutor
from pipeline.run.edit import note_removal, parts_with_reason, read_ids
from pipeline.run.plan import read_plan
from pipeline.run.progress import Display
from pipeline.run.runner import Report, Runner, Selection
from pipeline.run.state import RunState
from pipeline.run.verify import verify
from pipeline.storage.open import open_storage
from schemas.config import Config
from stages.stage import UserError


def run_state(config: Config) -> RunState:
    storage = open_storage(config.run)
    return RunState(storage, PROJECT, config, read_plan(storage))


def run_again(config: Config, selection: Selection) -> Report:
    storage = open_storage(config.run)
    return Runner(storage, config, PROJECT, InlineExecutor(), Display(storage)).run(selection)


def test_a_removed_pair_leaves_every_stage_and_stays_out(tmp_path: Path, source: Path) -> None:
    config = make_config(tmp_path / "run", source)
    run_toys(config)
    before = data_files(tmp_path / "run")
    assert "Word011" in words_in_shards(tmp_path / "run")
    where = note_removal(open_storage(config.run), list(range(5)), ["line 1", "no such id"])
    assert where == {"line 1": [0, 1, 2], "no such id": []}
    report = run_again(config, Selection(PROJECT[:3], replan=False))
    assert report.made == {"ingest": 3, "phrases": 3, "shard": 4}
    everything = " ".join(
        str(pq.read_table(path).to_pylist()) for path in (tmp_path / "run").rglob("*.parquet")
    ) + words_in_shards(tmp_path / "run")
    assert "Word011" not in everything and "Word012" not in everything and "Word021" in everything
    rejects = pq.read_table(tmp_path / "run/rejects/ingest/part-0000000.parquet").to_pylist()
    assert [(row["source_id"], row["reason"]) for row in rejects] == [("line 1", "removed")]
    assert [str(p) for p in verify(run_state(config)).problems if p.stage != "train"] == []
    untouched = [path for path in before if "0000003" in path or "0000004" in path]
    assert all(data_files(tmp_path / "run")[path] == before[path] for path in untouched)
    assert run_toys(config).made == {"train": 1} and run_toys(config).made == {}
    # it stays out when its part is recomputed, and when it comes back under another number
    run_toys(config, stages=("ingest",), force=True)
    write_source(source, 9, 3)
    run_toys(config)
    assert "Word911" not in words_in_shards(tmp_path / "run")
    record = json.loads((tmp_path / "run/removed.json").read_text())["removed"]
    assert [(entry["source_id"], entry["parts"]) for entry in record] == [("line 1", [0, 1, 2]), ("no such id", [])]


@pytest.mark.slow
def test_a_removed_pair_is_in_no_file_of_the_real_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the pairs to the report's images and search index: neither its key, nor its caption, nor its image."""
    settings = {
        **{"part_size": 3, "ingest": {"source": "scenes", "count": 6}, "filter": {"min_score": 0.11}},
        **{"label": {"short": 64, "long": 96, "device": "cpu"}, "audit": {"pictures": 6}},
    }
    run, config = tmp_path / "run", tmp_path / "config.yaml"
    config.write_text(json.dumps({"run": str(run), **settings}))
    command(["run", str(config), "--until", "audit", "--inline"], 0)
    pair = pq.read_table(run / "pairs/part-0000001.parquet").to_pylist()[1]
    with open(run / pair["image"]["uri"], "rb") as file:
        file.seek(pair["image"]["offset"])
        image = file.read(pair["image"]["length"])
    traces = [pair["key"].encode(), pair["caption"].encode(), json.dumps(pair["caption"]).encode(), image]
    found = {path.relative_to(run).parts[0] for path in files_with(run, traces)}
    assert found >= {"pairs", "images", "phrases", "labels", "pseudo", "shards", "report"}
    (tmp_path / "ids").write_text(pair["source_id"] + "\n")
    command(["remove", str(run), "--source-ids", str(tmp_path / "ids"), "--inline"], 0)
    left = {path.relative_to(run).as_posix() for path in files_with(run, traces)}
    assert left == {"rejects/ingest/part-0000001.parquet"}  # its key, and that it was removed
    command(["verify", str(run)], 0)


def command(arguments: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert int(end.value.code or 0) == code


def files_with(run: Path, traces: list[bytes]) -> list[Path]:
    """Files that hold one of these; of Parquet files the values are looked at, they are compressed."""
    found = []
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if path.suffix == ".parquet":
            data = b"".join(str(value).encode() for row in pq.read_table(path).to_pylist() for value in row.values())
        if any(trace in data for trace in traces):
            found.append(path)
    return found


def test_rejected_rows_are_tried_again_and_nothing_follows_where_nothing_changes(tmp_path: Path, source: Path) -> None:
    config = make_config(tmp_path / "run", source)
    run_toys(config)
    again = parts_with_reason(run_state(config), "bad_record")
    assert again == {"ingest": {1, 3}}
    assert run_again(config, Selection(PROJECT, again=again, replan=False)).made == {"ingest": 2}
    with pytest.raises(UserError, match="no such reason; there are download_failed, "):
        parts_with_reason(run_state(config), "bad_luck")


def test_a_row_that_can_be_read_now_goes_all_the_way_down_and_nothing_else_is_made(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(tmp_path / "run", source)
    run_toys(config)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*-000000*") if path.is_file()}
    monkeypatch.setattr("toys.is_bad", lambda caption: False)  # a newer decoder, say
    assert run_toys(config).made == {}  # it is not asked what changed outside of the run
    again = parts_with_reason(run_state(config), "bad_record")
    report = run_again(config, Selection(PROJECT, again=again, replan=False))
    assert report.made == {"ingest": 2, "phrases": 2, "shard": 2 + 1, "train": 1}
    assert words_in_shards(tmp_path / "run").count('"caption": "bad line"') == 2
    untouched = [path for path in before if re.search(r"-?000000[024]\b", path.name) and "train" not in path.parts]
    assert len(untouched) > 10 and all(path.stat().st_mtime_ns == before[path] for path in untouched)
    assert verify(run_state(config)).problems == []
    assert parts_with_reason(run_state(config), "bad_record") == {}


def test_ids_are_read_one_a_line() -> None:
    assert read_ids(["a b\n", "\n", "ö\r\n", "a b\n", " x\n"]) == ["a b", "ö", " x"]


def test_the_commands_on_real_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def phrasebox(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main([*arguments])
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out + captured.err

    run = str(tmp_path / "run")
    made = phrasebox("ingest", run, "--inline", "--set", "ingest.count=12", "--set", "part_size=6")
    assert made[0] == 0 and phrasebox("phrases", run, "--inline")[0] == 0
    pairs = pq.read_table(tmp_path / "run/pairs/part-0000001.parquet").to_pylist()
    (tmp_path / "ids.txt").write_text(pairs[2]["source_id"] + "\n")
    code, text = phrasebox("remove", run, "--source-ids", str(tmp_path / "ids.txt"), "--inline")
    assert code == 0 and "1 of 1 ids are in this run, in 1 parts" in text
    assert pairs[2]["key"] not in pq.read_table(tmp_path / "run/phrases")["key"].to_pylist()
    with tarfile.open(tmp_path / "run/images/part-0000001.tar") as tar:
        assert not [name for name in tar.getnames() if pairs[2]["key"] in name]
    assert phrasebox("verify", run)[0] == 0
    code, text = phrasebox("retry", run, "--reason", "removed", "--inline")
    assert code == 0 and "ingest: 1 parts with removed" in text
    code, text = phrasebox("retry", run, "--reason", "not_an_image", "--inline")
    assert code == 0 and "no row was rejected as not_an_image" in text
    assert phrasebox("retry", run, "--reason", "nonsense")[0] == 2
    assert phrasebox("remove", run, "--source-ids", "no/such/file")[0] == 2
    code, text = phrasebox("query", run, "SELECT reason, count(*) AS rows FROM rejects GROUP BY ALL")
    assert code == 0 and text.splitlines() == ["reason\trows", "removed\t1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout.isatty", lambda: True)
        code, text = phrasebox("query", run, "SELECT 'a' || chr(27) || '[31m' AS colour")
    assert code == 0 and "\x1b[31m" not in text and "a\\x1b[31m" in text  # what a caption may hold
