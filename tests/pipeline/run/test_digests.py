"""What stages read, as digests: part by part, and of the whole run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
import pytest
from side_toys import ON, SIDE_PROJECT
from toy_runs import make_config, run_toys
from toys import PROJECT

from pipeline.run.digests import NOTHING, Digests, Found, digest_name, files_digest
from pipeline.run.fingerprint import columns_digest, joined_digest
from pipeline.run.plan import read_plan
from pipeline.run.producers import find_producers
from pipeline.run.record_index import read_stage
from pipeline.run.target import part_target
from pipeline.storage.open import open_storage
from stages.stage import Input, Stage
from tests.pipeline.side_runs import make, side_config


def digests_of(run: Path, project: list[type[Stage]] = PROJECT) -> Digests:
    storage = open_storage(str(run))
    records = {stage.name: read_stage(storage, stage) for stage in project}
    return Digests(storage, find_producers(project), lambda stage: records[stage.name], read_plan(storage))


def sha256(run: Path, path: str) -> str:
    return next(entry.sha256 for stage in PROJECT for record in read_stage(open_storage(str(run)), stage).values()
                for entry in record.files if entry.path == path)  # fmt: skip


@pytest.mark.parametrize(
    ("committed", "digest", "need", "whole", "part"),
    [
        ("yes", "x", "always", True, True),
        ("yes", None, "always", True, False),  # a part without a file of it
        ("yes", None, "if_present", True, True),
        ("no", None, "always", False, False),
        ("no", None, "if_enabled", False, False),
        ("no", None, "if_present", True, True),
        ("partly", None, "if_present", False, False),
    ],
)
def test_what_an_input_has_to_be_for_a_task(
    committed: Literal["no", "partly", "yes"],
    digest: str | None,
    need: Literal["always", "if_enabled", "if_present"],
    whole: bool,
    part: bool,
) -> None:
    found, item = Found(digest, committed), Input("gold", need=need)
    assert (found.serves(item), found.serves_part(item)) == (whole, part)


def test_of_a_part_its_file_or_the_columns_asked_for(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    run_toys(make_config(run, source))
    digests = digests_of(run)
    assert digests.of_part(Input("pairs"), 1) == Found(sha256(run, "pairs/part-0000001.parquet"), "yes")
    columns = ("key", "phrases.start", "phrases.text")  # as ToyShard declares, so that the record has noted it
    table = pq.read_table(run / "phrases/part-0000001.parquet")
    assert digests.of_part(Input("phrases", columns), 1) == Found(columns_digest(table, columns), "yes")
    noted: dict[str, Any] = read_stage(open_storage(str(run)), PROJECT[1])[part_target(1)].notes["digests"]
    assert noted[digest_name("phrases", columns)] == columns_digest(table, columns)
    fresh = digests.of_part(Input("phrases", ("phrases.head",)), 1)  # nobody asked for it when it was made
    assert fresh == Found(columns_digest(table, ("phrases.head",)), "yes")
    assert digests.of_part(Input("pairs"), 99) == NOTHING
    assert digests.of_part(Input("gold"), 1) == NOTHING


def test_of_the_run_all_parts_or_the_result(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    run_toys(make_config(run, source))
    pairs = [sha256(run, f"pairs/part-{part:07d}.parquet") for part in range(5)]
    assert digests_of(run).of_run(Input("pairs", scope="run")) == Found(joined_digest(pairs), "yes")
    student = sha256(run, "student/weights")
    assert digests_of(run).look_up(Input("student", scope="run"), 3) == Found(student, "yes")
    (run / "commits/ingest/part-0000002.json").unlink()
    (run / "commits/train/part-0000000.json").unlink()
    assert digests_of(run).of_run(Input("pairs")) == Found(None, "partly")
    assert digests_of(run).of_run(Input("student")) == NOTHING


def test_a_result_has_a_digest_for_each_part(tmp_path: Path, pairs: Path) -> None:
    run = tmp_path / "run"
    make(side_config(run, pairs, **ON))
    digests = digests_of(run, SIDE_PROJECT)
    columns = ("key", "keep", "reason")
    for part in read_plan(open_storage(str(run))):
        table = pq.read_table(run / f"curation/part-{part:07d}.parquet")
        assert digests.of_part(Input("curation", columns), part).digest == columns_digest(table, columns)
    lengths = [digests.of_part(Input("lengths"), part).digest for part in (0, 1)]
    assert None not in lengths and lengths[0] != lengths[1]


def test_files_of_another_folder_do_not_count(tmp_path: Path, source: Path) -> None:
    run_toys(make_config(tmp_path / "run", source))
    record = read_stage(open_storage(str(tmp_path / "run")), PROJECT[1])[part_target(0)]
    assert {entry.path.partition("/")[0] for entry in record.files} == {"phrases", "rejects"}
    assert files_digest(record, "phrases/") == sha256(tmp_path / "run", "phrases/part-0000000.parquet")
    assert files_digest(record, "phrase/") is None
    assert files_digest(record, "") == joined_digest(entry.sha256 for entry in record.files)
