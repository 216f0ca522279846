"""The command for the first GPU: rehearsed as a whole, kept to its time, and gone on with where it stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu
from benchmarks.gpu import Ended, begun, command, in_process, joined, run_all
from benchmarks.gpu_scale import FULL, TINY, Scale, said_so_far, so_far
from benchmarks.gpu_sections import SECTIONS, Absent, Section
from benchmarks.gpu_training import SIZE, members
from benchmarks.gpu_wheels import PACKAGES
from benchmarks.official_weights import ROOT
from benchmarks.teacher_measure import PHOTOS
from tests.benchmarks.bare_host import HOST, bare_python


@pytest.mark.slow
def test_the_whole_is_rehearsed_and_a_second_start_repeats_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gpu.json"
    run_all(list(SECTIONS), out, 540, rehearse=True)
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines() if ": " in line)
    assert {section.name for section in SECTIONS} <= lines.keys()
    assert not [name for name, said in lines.items() if said.startswith(("skipped", "failed"))]
    found = json.loads(out.read_text())
    assert found["sections"].keys() == {section.name for section in SECTIONS}
    assert found["embedding"]["images_per_second"] > 0 and found["sam"]["images_per_second"] > 0
    assert found["clip"]["crops_per_second"] > 0
    detectors = ("grounding-dino-t", "llmdet-t", "owlv2-base", "omdet-turbo-t")
    for name in ("glip-t", "glip-l", "glip-nano", "glip-photos", *detectors):
        own = found[name]
        assert own["images_per_second"] == max(row.get("images_per_second", 0) for row in own["rows"]) > 0
        assert {"precision", "batch_size"} <= own.keys()
    assert {row["mode"] for row in found["glip-t"]["rows"]} == {"plain", "kernel", "compiled"}
    assert {row["mode"] for row in found["glip-l"]["rows"]} == {"plain", "compiled"}, (
        "the interpreter runs glip-t's alone"
    )
    assert found["parity"]["glip-nano"]["share"] == 1
    assert [row["checkpointing"] for row in found["training"]["rows"]] == [False, True]
    assert 5 < len(found["trace"]["kernels"]) <= 15 and found["run"]["photos"]["pairs"] == 2
    assert {"bf16", "fp16"} == found["drift"]["beside_fp32"].keys() and found["device"].startswith("rehearsal")

    again = run_all(list(SECTIONS), out, 540, rehearse=True)
    said = capsys.readouterr().out
    assert said.count("done before") == len(found["sections"]) and again == found


@pytest.mark.slow
def test_the_packages_of_a_machine_for_a_gpu_suffice(tmp_path: Path) -> None:
    """No Ray, webdataset, DuckDB, pycocotools, NLTK or spaCy, and pydantic only where the wheels bring it along: then
    nothing is skipped, and without it a run and a training alone."""

    def said(python: Path, *options: str) -> dict[str, str]:
        command = [str(python), "-m", "benchmarks.gpu", "--rehearse", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)

    bare = bare_python(tmp_path / "bare", HOST, without=PACKAGES)
    for name in ("ray", "pydantic", "webdataset", "duckdb", "pycocotools", "nltk", "spacy", "pandas"):
        assert subprocess.run([bare, "-c", f"import {name}"], capture_output=True, check=False).returncode == 1
    lines = said(bare, "--only", "parity", "glip-nano", "grounding-dino-t", "training", "trace", "run")
    skipped = {name: line for name, line in lines.items() if line.startswith(("skipped", "failed"))}
    assert skipped.keys() == {"training", "run"} and len(lines) == 6
    assert all("benchmarks.gpu_wheels" in line for line in skipped.values())
    lines = said(bare_python(tmp_path / "host", (*HOST, *PACKAGES)))
    assert not [name for name, line in lines.items() if line.startswith(("skipped", "failed"))]
    assert lines.keys() >= {section.name for section in SECTIONS}


def section(name: str, seconds: int, measure: Callable[[Scale], dict[str, Any]]) -> Section:
    return Section(name, seconds, measure, lambda found: f"found {sorted(found)}")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU, whose sections run in this process."""
    monkeypatch.setattr(gpu.torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(gpu, "in_process", lambda section, limit: section.run(True))


def fails(_: Scale) -> dict[str, Any]:
    raise Ended("CUDA error: an illegal memory access", {})


def fails_late(_: Scale) -> dict[str, Any]:
    row = {"mode": "plain", "precision": "bf16", "batch_size": 8, "images_per_second": 9.0}
    raise Ended("not done after 9 s", {"late": {"rows": [row]}})


def lacks(_: Scale) -> dict[str, Any]:
    raise Absent("no photos")


@pytest.mark.usefixtures("here")
def test_the_time_is_kept_and_what_is_missing_comes_with_the_next_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results" / "gpu.json"
    sections = [
        section("first", 5, lambda _: {"first": {"value": 1}}),
        section("long", 500, lambda _: {"long": {"value": 2}}),
        section("broken", 5, fails),
        section("lacking", 5, lacks),
        section("late", 5, fails_late),
    ]
    found = run_all(sections, out, 60)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "first: found ['first']"
    assert lines[1].startswith("long: skipped: takes some 500 s, and ")
    assert lines[2:] == [
        "broken: failed: CUDA error: an illegal memory access",
        "lacking: skipped: no photos",
        "late: failed: not done after 9 s; until then found ['late']",
    ]
    assert json.loads(out.read_text()) == found and found["sections"].keys() == {"first"}
    assert found["late"]["images_per_second"] == 9.0
    found = run_all(sections[:2], out, 600)
    assert capsys.readouterr().out.splitlines() == ["first: done before", "long: found ['long']"]
    assert (found["first"], found["long"]) == ({"value": 1}, {"value": 2})
    elsewhere = tmp_path / "empty" / "gpu.json"  # on a machine from which files are taken away after each start
    assert run_all(sections[:2], elsewhere, 600, known=out) == found == json.loads(elsewhere.read_text())
    assert capsys.readouterr().out.splitlines() == ["first: done before", "long: done before"]


@pytest.mark.usefixtures("here")
def test_figures_of_two_devices_are_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.json"
    out.write_text(json.dumps({"device": "another GPU", "sections": {"first": 1.0}}))
    assert begun(out, rehearse=False)["sections"] == {}
    assert "is of another device (another GPU)" in capsys.readouterr().out
    out.write_text(json.dumps({"device": "a GPU", "sections": {"first": 1.0}}))
    assert begun(out, rehearse=False)["sections"] == {"first": 1.0}


def test_rows_of_several_sections_are_one_model_with_its_best_on_top() -> None:
    slow = {"mode": "plain", "precision": "bf16", "batch_size": 8, "images_per_second": 100.0}
    fast = {"mode": "compiled", "precision": "bf16", "batch_size": 16, "images_per_second": 150.0}
    failed = {"mode": "kernel", "failed": "no Triton"}
    known = joined({}, [slow, failed])
    assert (known["images_per_second"], known["mode"]) == (100.0, "plain")
    assert joined(known, [fast]) == {**fast, "rows": [slow, failed, fast]}
    assert joined({}, [failed]) == {"rows": [failed]}
    again = {**slow, "images_per_second": 120.0}  # a section that had failed behind its first row
    assert joined(known, [again])["rows"] == [again, failed]


ROWS = 'print("words"); print(\'{"a": {"rows": [1]}}\', flush=True); '
ABSENT = "from benchmarks.gpu_scale import Absent; raise Absent('no photos: none')"
HALF = "import os; print('{\"a\": ', end='', flush=True); "
FORKS = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "


@pytest.mark.parametrize(
    ("code", "kind", "said", "found"),
    [
        (ABSENT, Absent, "no photos: none", None),
        (f"{ROWS}raise RuntimeError('CUDA error: 700')", Ended, "RuntimeError: CUDA error: 700", {"a": {"rows": [1]}}),
        (
            f"{ROWS}import os; print('{{\"a\": ', flush=True); os.kill(os.getpid(), 9)",
            Ended,
            "no word",
            {"a": {"rows": [1]}},
        ),
        (f"{ROWS}{FORKS}time.sleep(600)", Ended, "not done after 10 s", {"a": {"rows": [1]}}),
    ],
    ids=["absent", "error", "killed", "too long"],
)
def test_what_goes_wrong_in_a_sections_process_is_said_in_a_line_and_what_it_had_stays(
    monkeypatch: pytest.MonkeyPatch, code: str, kind: type[Exception], said: str, found: Any
) -> None:
    """Nothing of it runs on: its children hold its outputs open, and reading these would not end before they do."""
    monkeypatch.setattr(gpu, "command", lambda section: [sys.executable, "-c", code])
    with pytest.raises(kind) as caught:
        in_process(section("drift", 10, lacks), 10 if "sleep" in code else 300)
    assert str(caught.value) == said and getattr(caught.value, "found", None) == found


def test_what_a_section_says_of_itself_is_read_again(capsys: pytest.CaptureFixture[str]) -> None:
    so_far({"a": 1}, TINY)
    assert capsys.readouterr().out == ""
    so_far({"a": 1}, FULL)
    so_far({"a": 2}, FULL)
    assert said_so_far(capsys.readouterr().out + "3\n\n{'a'") == {"a": 2} and said_so_far("") == {}
    assert command(section("drift", 1, lacks))[1:] == ["-m", "benchmarks.gpu", "--section", "drift"]


@pytest.mark.slow
def test_a_section_runs_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--section", "glip-nano", "--rehearse"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["glip-nano"]["rows"][0]["images_per_second"] > 0


def test_sections_fit_into_nine_minutes_but_for_the_last_ones() -> None:
    """So that one start gives all that the issue of the first GPU asks for, and a second one the rest."""
    needed = SECTIONS[: [section.name for section in SECTIONS].index("glip-t-compiled")]
    assert len(needed) > 10 and sum(section.seconds for section in needed) <= 540
    assert len({section.name for section in SECTIONS}) == len(SECTIONS)


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photos are not at hand")
def test_photos_to_train_on_are_of_the_size_and_their_phrases_are_in_their_captions() -> None:
    import io

    from PIL import Image

    boxes = 0
    for at in range(6):
        (_, jpeg), (_, data) = members(at)
        record = json.loads(data)
        assert Image.open(io.BytesIO(jpeg)).size == (record["width"], record["height"]) == SIZE[::-1]
        assert [record["caption"][one["start"] : one["end"]] for one in record["phrases"]] == [
            one["text"] for one in record["phrases"]
        ]
        for box in record["boxes"]:
            x1, y1, x2, y2 = box["bbox"]
            assert -1 < x1 < x2 < SIZE[1] + 1 and -1 < y1 < y2 < SIZE[0] + 1
            assert 0 <= box["phrase"] < len(record["phrases"])
            boxes += 1
    assert boxes > 10
