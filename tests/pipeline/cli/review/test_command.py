"""`phrasebox review` as a person types it: figures, the threshold, a server that is killed, and object stores."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipeline.cli.review.command import appender, as_lines
from pipeline.storage.local import LocalStorage
from pipeline.storage.open import open_storage
from stages.review.figures import review_figures
from tests.pipeline.cli.conftest import Command
from tests.stages.review.sitting import session_of, truth


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Six scenes, labelled by the packaged teacher."""
    from pipeline.cli.commands import Options, run_rounds

    folder = tmp_path_factory.mktemp("reviewed")
    (folder / "config.yaml").write_text("{}")
    settings = ["ingest.source=scenes", "ingest.count=6", "part_size=4"]
    run_rounds(str(folder / "config.yaml"), settings, str(folder / "run"), None, "filter", Options(inline=True))
    return str(folder / "run")


def served(run: str) -> tuple[subprocess.Popen[str], str]:
    """The command, with SIGINT ignored as a shell starts it in the background, and the address that it prints."""
    line = [sys.executable, "-m", "pipeline.cli.app", "review", run, "--boxes", "12", "--phrases", "2"]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout is not None
    for text in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+/\S+/", text):
            return process, found[0]
    raise AssertionError(process.communicate())


def judge(address: str, task: int, verdict: str) -> int:
    url = urlsplit(address)
    connection = http.client.HTTPConnection(url.netloc)
    body = json.dumps({"reviewer": "ann", "task": task, "verdict": verdict})
    headers = {"Origin": f"http://{url.netloc}", "Content-Type": "application/json"}
    connection.request("POST", f"{url.path}judge", body, headers)
    return connection.getresponse().status


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_kill_loses_no_judgement_and_ctrl_c_prints_the_figures(
    labelled: str, phrasebox: Command, ending: signal.Signals
) -> None:
    journal = Path(labelled) / "reviews/ann.jsonl"
    journal.unlink(missing_ok=True)
    process, address = served(labelled)
    for task in range(5):
        assert judge(address, task, "right") == 200
    process.kill()
    process.wait()
    assert len(journal.read_text("utf-8").splitlines()) == 5
    with open(journal, "ab") as file:
        file.write(b'{"reviewer": "an')  # as a power cut might leave it
    process, address = served(labelled)
    for task in range(5, 12):
        assert judge(address, task, "wrong_box") == 200
    process.send_signal(ending)
    out, err = process.communicate()
    assert process.returncode == 0 and "judged     12 boxes, 0 phrases (ann 12)" in out and "precision" in out, (
        out,
        err,
    )
    assert [json.loads(line)["verdict"] for line in journal.read_text("utf-8").splitlines()] == (
        ["right"] * 5 + ["wrong_box"] * 7
    )
    done = phrasebox("review", labelled, "--figures")
    assert done.returncode == 0 and "precision" in done.stdout and "more judgements" in done.stdout
    low = phrasebox("review", labelled, "--suggest", "0.01")
    assert low.returncode == 0 and re.fullmatch(r"0\.\d+", low.stdout.splitlines()[0])
    assert f"filter.min_score={low.stdout.splitlines()[0]}" in low.stdout
    high = phrasebox("review", labelled, "--suggest", "0.99")
    assert high.returncode == 2 and "no threshold is that sure" in high.stderr and "Traceback" not in high.stderr


def test_several_teachers_have_lines_of_their_own(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40, label={"teachers": ["glip-nano", {"name": "other", "teacher": "glip-nano"}]}).fill(60)
    for part in run.all_parts().parts():
        rows = [row for row in run.rows["labels"] if int(row["key"][:7]) == part]
        run.write("labels-other", part, [{**row, "boxes": row["boxes"][:1]} for row in rows])
    session = session_of(run, 60, 6)
    for task, unit in enumerate(session.units):
        there: dict[str, Any] = {"verdict": "there", "boxes": [[1, 1, 60, 60]]}
        said = {"verdict": "right" if truth(run, unit) else "wrong_box"} if unit.corners else there
        session.judge({"reviewer": "ann", "task": task, **said})
    figures = review_figures(run.all_parts(), run.config)
    assert figures is not None
    said_lines = as_lines(figures, run.config)
    assert list(figures["by_teacher"]) == ["glip-nano", "other"]
    for name, own in figures["by_teacher"].items():
        row = own["at_min_score"]
        (line,) = [line for line in said_lines if line.startswith(f"{name} ")]
        assert f"{row['precision']:.1%} ({row['low']:.1%} to {row['high']:.1%})" in line
        assert any(line.startswith(f"  {name}'s recall") for line in said_lines)


def test_what_cannot_be_reviewed_is_one_line(phrasebox: Command, tmp_path: Path, labelled: str) -> None:
    nowhere = phrasebox("review", str(tmp_path))
    assert nowhere.returncode == 2 and "no run here" in nowhere.stderr
    wrong = phrasebox("review", labelled, "--import", str(tmp_path / "none.json"))
    assert wrong.returncode == 2 and "--reviewer" in wrong.stderr
    wrong = phrasebox("review", labelled, "--import", str(tmp_path / "none.json"), "--reviewer", "ann")
    assert wrong.returncode == 2 and "cannot be read" in wrong.stderr


def test_lines_are_added_on_a_disk(tmp_path: Path) -> None:
    append = appender(LocalStorage(str(tmp_path)))
    for text in (b"one\n", b"two\n"):
        append("reviews/ann.jsonl", text)
    assert (tmp_path / "reviews/ann.jsonl").read_bytes() == b"one\ntwo\n"


def test_lines_are_added_in_an_object_store(bucket: str) -> None:
    storage = open_storage(f"{bucket}/run")
    append = appender(storage)
    for text in (b"one\n", b"two\n"):
        append("reviews/ann.jsonl", text)
    assert storage.read("reviews/ann.jsonl") == b"one\ntwo\n"
    storage.write("reviews/ann.jsonl", b"one\ntor")
    append("reviews/ann.jsonl", b"three\n")
    assert storage.read("reviews/ann.jsonl") == b"one\nthree\n"
    assert list(storage.list("reviews")) == ["reviews/ann.jsonl"]
