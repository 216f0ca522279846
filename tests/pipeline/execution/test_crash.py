"""Killed at any moment, a run goes on and ends with the bytes of an undisturbed one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from drive import crash_before
from toy_runs import data_files, make_config, run_toys, write_source

from tests.waiting import wait_for

DRIVE = Path(__file__).parents[1] / "drive.py"


@pytest.fixture
def small_source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    write_source(folder, 0, 7)
    return folder


def killed_at(run: Path, source: Path, change: int) -> bool:
    """Runs in a forked process that dies before its n-th change; False when it ended before that."""
    child = os.fork()
    if child == 0:
        crash_before(change)
        report = run_toys(make_config(run, source, shard__samples_per_shard=2))
        os._exit(1 if report.failed or report.waiting else 0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def test_killed_before_every_second_change(tmp_path: Path, small_source: Path) -> None:
    """Among them: between a rename and its commit record, amid the tars of a part, and in the middle of the job."""
    run_toys(make_config(tmp_path / "calm", small_source, shard__samples_per_shard=2))
    expected = data_files(tmp_path / "calm")
    points = 0
    for change in range(1, 1000, 2):
        run = tmp_path / f"killed-{change}"
        if not killed_at(run, small_source, change):
            break
        points += 1
        kept = {path: path.read_bytes() for path in run.glob("commits/*/part-*.json")}
        report = run_toys(make_config(run, small_source, shard__samples_per_shard=2))
        assert not report.failed and data_files(run) == expected, f"killed before change {change}"
        assert all(path.read_bytes() == record for path, record in kept.items())  # nothing starts over
        assert run_toys(make_config(run, small_source, shard__samples_per_shard=2)).made == {}
    assert points >= 20


def test_killed_again_and_again_while_settings_change(tmp_path: Path, small_source: Path) -> None:
    """A part half replaced under one config must never pass for done under another."""
    chance = random.Random(5)
    run, calm = tmp_path / "run", tmp_path / "calm"
    for number in range(25):
        child = os.fork()
        if child == 0:
            crash_before(chance.randrange(5, 60) + number)
            run_toys(make_config(run, small_source, shard__samples_per_shard=number % 3 + 1))
            os._exit(0)
        os.waitpid(child, 0)
        chance.random()
    run_toys(make_config(run, small_source, shard__samples_per_shard=2))
    run_toys(make_config(calm, small_source, shard__samples_per_shard=2))
    assert data_files(run) == data_files(calm)


@pytest.mark.parametrize(
    ("commits", "kill"), [((3, 16), os.kill), ((18,), os.killpg)], ids=["driver", "driver-and-ray"]
)
def test_killed_on_ray(
    tmp_path: Path, small_source: Path, marks: Path, commits: tuple[int, ...], kill: Callable[[int, int], None]
) -> None:
    """The driver dies while its workers live on for some seconds, or everything dies at once.

    One part holds until there is peace, so that no run is over before it is killed; 12 parts are ingested first.
    """
    for number in range(6):
        write_source(small_source, number, 7, first="@hold on" if number == 5 else "@slow down")
    run, calm = tmp_path / "run", tmp_path / "calm"
    command = [sys.executable, str(DRIVE), str(run), str(small_source), "ray"]
    chance = random.Random(len(commits))
    for wanted in commits:
        driver = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        wait_for(lambda wanted=wanted: len(list(run.glob("commits/*/*.json"))) >= wanted, driver)
        time.sleep(chance.random() / 2)
        kill(driver.pid, signal.SIGKILL)
        driver.communicate()
    kept = {path: path.read_bytes() for path in run.glob("commits/*/*.json")}
    (marks / "peace").touch()
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert len(kept) >= commits[-1]
    assert all(path.read_bytes() == record for path, record in kept.items())  # with its seconds: not recomputed
    run_toys(make_config(calm, small_source, train__steps=20))
    assert data_files(run) == data_files(calm)
