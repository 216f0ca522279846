"""The command as people use it: exit codes, one clear line for every mistake, and no traceback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.pipeline.cli.conftest import Command
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({"part_size": 6, "ingest": {"source": "scenes", "count": 12}}))
    return str(path)


def test_help_of_every_command_is_there(phrasebox: Command) -> None:
    text = phrasebox("--help").stdout
    for command in ("ingest", "phrases", "label", "filter", "shard", "audit", "train", "evaluate", "run", "status",
                    "verify", "config"):  # fmt: skip
        assert f"  {command} " in text
        assert len(phrasebox(command, "--help").stdout.splitlines()[2].split()) >= 5  # what it does, in words
        assert "Usage: phrasebox" in phrasebox(command, "--help").stdout


@pytest.mark.parametrize("of", [[], ["teacher"]])
def test_what_a_command_does_fits_its_line(phrasebox: Command, monkeypatch: pytest.MonkeyPatch, of: list[str]) -> None:
    """Where a line is too short for a description, its end is three dots."""
    monkeypatch.setenv("COLUMNS", "80")
    listed = phrasebox(*of, "--help").stdout.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert len(listed) >= 3 and max(map(len, listed)) <= 80
    assert [line for line in listed if line.endswith("...") or not line.endswith((".", "!"))] == []


def test_nothing_heavy_is_imported_for_help() -> None:
    heavy = ("torch", "ray", "pyarrow", "pandas", "numpy")
    code = f"import sys, pipeline.cli.app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_only_what_computes_imports_torch() -> None:
    """Not the commands that read a run, nor the stages around the networks."""
    stages = ("ingest", "filter", "shard", "audit")
    code = "import sys, pipeline.cli.commands, pipeline.cli.views, stages.export.card; from stages import load_stage\n"
    code += f"for name in {stages}: load_stage(name)\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run", "no/such.yaml"], "no/such.yaml: no such config file"),
        (["run", "{config}", "--set", "filter.min_scor=0.6"],
         "{config}: filter.min_scor: unknown key; did you mean filter.min_score?"),
        (["run", "{config}", "--set", "fliter.min_score=0.6"],
         "{config}: fliter: unknown key; did you mean filter?"),
        (["run", "{config}", "--set", "label.min_score=0.6"],
         "{config}: label.min_score: unknown key; did you mean filter.min_score?"),
        (["run", "{config}", "--set", "filter.min_score=1.5"],
         "{config}: filter.min_score: input should be less than or equal to 1, not 1.5"),
        (["run", "{config}", "--set", "part_size=many"],
         "{config}: part_size: input should be a valid integer, unable to parse string as an integer, not 'many'"),
        (["run", "{config}", "--set", "part_size"],
         "--set part_size: expected key=value, for example --set filter.min_score=0.6"),
        (["run", "{config}", "--set", "part_size.x=1"], "--set part_size.x=1: part_size is no section"),
        (["run", "{config}", "--from", "filtre"], "--from filtre: no such stage; did you mean filter?"),
        (["run", "{config}", "--from", "shard", "--until", "label"],
         "--from shard --until label: label comes before shard"),
        (["run", "{config}", "--parts", "a-b"], "--parts a-b: expected numbers and ranges, for example 0-9,12"),
        (["run", "{config}", "--workers", "0"],
         "Invalid value for '--workers': Input should be greater than or equal to 1"),
        (["run", "{config}", "--frobnicate"], "No such option: --frobnicate (Possible options: --force)"),
        (["rum"], "No such command 'rum'. Did you mean 'run'?"),
        (["run"], "run: name a config, or a folder of images and captions with --source"),
        (["status", "no/such/run"],
         "no/such/run: no run here (neither config.yaml nor plan.json); give the run folder of an earlier run"),
        (["verify", "no/such/run"],
         "no/such/run: no run here (neither config.yaml nor plan.json); give the run folder of an earlier run"),
        (["label", "--run", "no/such/run"],
         "no/such/run: no run here (neither config.yaml nor plan.json); give the run folder of an earlier run"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_exit_code_2(
    config: str, tmp_path: Path, arguments: list[str], line: str, phrasebox: Command
) -> None:
    run = [] if arguments[0] != "run" else ["--run", str(tmp_path / "run")]
    done = phrasebox(*(argument.format(config=config) for argument in arguments), *run)
    assert done.returncode == 2
    assert done.stderr == f"phrasebox: {line.format(config=config)}\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "just words", "\x00", "ingest: 5", "run: [1]", "\xff\x00\xfe"])
def test_a_config_that_is_none(tmp_path: Path, text: str, phrasebox: Command) -> None:
    (tmp_path / "bad.yaml").write_bytes(text.encode("latin-1"))
    done = phrasebox("run", str(tmp_path / "bad.yaml"))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith(f"phrasebox: {tmp_path}/bad.yaml: ") and done.stderr.count("\n") == 1


def test_yaml_cannot_run_code(tmp_path: Path, phrasebox: Command) -> None:
    (tmp_path / "bad.yaml").write_text(f"run: !!python/object/apply:os.mkdir ['{tmp_path}/pwned']\n")
    assert phrasebox("run", str(tmp_path / "bad.yaml")).returncode == 2
    assert not (tmp_path / "pwned").exists()


def test_ingest_and_phrases_then_status_verify_and_nothing_to_do(
    config: str, tmp_path: Path, phrasebox: Command
) -> None:
    run = str(tmp_path / "run")
    done = phrasebox("run", config, "--run", run, "--until", "phrases", "--inline")
    assert done.returncode == 0, done.stderr
    assert "ingest    2/2 parts, 12 pairs" in done.stderr and "12 in" in done.stdout
    again = phrasebox("run", config, "--run", run, "--until", "phrases", "--inline")
    assert again.returncode == 0 and "nothing to be done" in again.stdout
    stage = phrasebox("phrases", "--run", run, "--inline", "--force", "--parts", "1")
    assert stage.returncode == 0 and "phrases   1/1 parts" in stage.stderr
    assert "2/2 done, 12 pairs in, 12 out" in phrasebox("status", run).stdout
    good = phrasebox("verify", run)
    assert good.returncode == 0 and "all in order (ingest 2, phrases 2)" in good.stdout
    (Path(run) / "phrases/part-0000001.parquet").write_bytes(b"")
    bad = phrasebox("verify", run)
    assert bad.returncode == 1 and "phrasebox: phrases, part 1: phrases/part-0000001.parquet has 0 bytes" in bad.stderr
    saved = yaml.safe_load((Path(run) / "config.yaml").read_text())
    assert saved["run"] == run and saved["filter"]["nms_iou"] == 0.6 and saved["phrases"]["backend"] != "auto"
    dry = phrasebox("run", config, "--run", run, "--until", "phrases", "--dry-run")
    assert dry.returncode == 0 and "phrases   1 parts, 6 pairs to make" in dry.stdout


def test_a_dry_run_touches_nothing(config: str, tmp_path: Path, phrasebox: Command) -> None:
    done = phrasebox("run", config, "--run", str(tmp_path / "run"), "--until", "phrases", "--dry-run")
    assert done.returncode == 0 and "2 parts, 12 pairs in the plan" in done.stdout
    assert not (tmp_path / "run").exists()


def test_training_on_gold_alone_needs_no_run_before_it(tmp_path: Path, phrasebox: Command) -> None:
    train = {"steps": 2, "batch_size": 2, "scales": [64], "warmup": 0, "threads": 1, "device": "cpu"}
    train["gold"] = [{"source": "scenes", "count": 2}]
    (tmp_path / "gold.yaml").write_text(yaml.safe_dump({"train": train}))
    run = str(tmp_path / "run")
    done = phrasebox("train", "--config", str(tmp_path / "gold.yaml"), "--run", run, "--inline")
    assert done.returncode == 0, done.stderr
    weights = (Path(run) / "student/weights.safetensors").read_bytes()
    assert len(weights) > 1 << 20
    assert "train     1/1 done" in phrasebox("status", run).stdout
    assert "all in order (train 1)" in phrasebox("verify", run).stdout
    assert "nothing to be done" in phrasebox("train", "--run", run, "--inline").stdout
    needs = phrasebox("phrases", "--run", run, "--inline")
    assert needs.returncode == 2 and "no plan.json; run `phrasebox ingest` first" in needs.stderr


def heed_interrupts() -> None:
    """A shell's background jobs, this suite perhaps among them, are deaf to SIGINT, and so are their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("mode", ["inline", "ray"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"])
def test_a_stopped_run_keeps_what_it_has(
    config: str, tmp_path: Path, mode: str, number: int, code: int, phrasebox: Command
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "pipeline.cli", "run", config, "--run", str(run), "--until", "phrases"]
    command += ["--set", "ingest.count=100000", "--workers", "1"] + (["--inline"] if mode == "inline" else [])
    driver = subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    wait_for(lambda: list(run.glob("commits/ingest/*.json")), driver)
    seen, refused = phrasebox("status", str(run)), phrasebox("phrases", str(run), "--inline")
    os.killpg(driver.pid, number)  # as a terminal does: the whole group
    _, errors = driver.communicate()
    assert seen.stdout.startswith(f"{run}: running (pid {driver.pid} on "), errors
    assert "  ingest " in seen.stdout and "/16,667 parts" in seen.stdout
    in_use = rf"phrasebox: {run} is in use by another run \(pid {driver.pid} on \S+\); wait for it or stop it\n"
    assert refused.returncode == 2 and re.fullmatch(in_use, refused.stderr)
    assert driver.returncode == code, errors
    assert "Traceback" not in errors
    assert list(run.glob("commits/ingest/*.json"))
    assert not (run / "state/lock").exists()
