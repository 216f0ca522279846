"""`phrasebox teacher`: a download that breaks goes on where it stopped; what a file is not, is said in one line."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from model.cards import WEIGHTS
from model.checkpoint import read_weights
from model.glip import Glip
from pipeline.cli import teacher
from stages.stage import UserError
from tests.waiting import LIMIT, wait_for

ROOT = Path(__file__).resolve().parents[3]
CONTENT = bytes(range(256)) * 200_000  # 51 MB, in blocks of 16 MiB
KEPT = 2 * teacher.BLOCK  # what arrives before the hub stalls


class Hub(ThreadingHTTPServer):
    """As much of the hub as a download needs. The first answer that would go beyond KEPT stalls in its middle."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubRequest)
        self.asked: list[tuple[str, str, str]] = []  # method, path, range
        self.stalls = 1
        self.closing = threading.Event()
        self.sha256 = hashlib.sha256(CONTENT).hexdigest()

    def downloads(self, name: str) -> list[int]:
        """The first byte of each range that was asked for, in order."""
        ranges = [wanted for method, path, wanted in self.asked if method == "GET" and path.endswith(name)]
        return [int(wanted.removeprefix("bytes=").partition("-")[0]) for wanted in ranges]


class HubRequest(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.asked.append((self.command, self.path, wanted))
        if self.path.startswith(f"/api/models/{teacher.HUB}/tree/"):
            stored = {"oid": self.server.sha256, "size": len(CONTENT), "pointerSize": 134}
            file = {"type": "file", "oid": "0", "size": len(CONTENT), "lfs": stored}
            self.answer(json.dumps([{**file, "path": name} for name in teacher.RELEASED.values()]).encode())
        elif self.path.startswith(f"/api/models/{teacher.HUB}"):
            self.answer(json.dumps({"id": teacher.HUB, "sha": "0" * 40}).encode())
        elif self.path.endswith(".pth") and (match := re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)):
            start, stop = int(match[1]), int(match[2]) + 1
            stall = self.server.stalls > 0 and stop > KEPT
            self.server.stalls -= stall
            self.answer(
                CONTENT[start:stop], 206, stall, **{"Content-Range": f"bytes {start}-{stop - 1}/{len(CONTENT)}"}
            )
        else:
            self.send_error(404)

    def answer(self, content: bytes, status: int = 200, stall: bool = False, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if stall else content)
        if stall:
            self.server.closing.wait()

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


def start(endpoint: str, folder: Path, out: str = "") -> subprocess.Popen[str]:
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home")}
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "teacher", "pull", "glip-t-b", "--out", str(folder / out)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_download_that_was_killed_goes_on_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_address[1]}"
    name = teacher.RELEASED["glip-t-b"]
    part = tmp_path / f"{name}.part"
    killed = start(endpoint, tmp_path)
    wait_for(lambda: part.exists() and part.stat().st_size >= KEPT, killed)
    killed.kill()
    killed.communicate()
    assert part.stat().st_size == KEPT and not (tmp_path / name).exists()
    before = len(hub.downloads(name))

    again = start(endpoint, tmp_path)
    out, _ = again.communicate(timeout=LIMIT)
    assert again.returncode == 0
    assert (tmp_path / name).read_bytes() == CONTENT and not part.exists()
    assert f"label.weights={tmp_path / name}" in out.replace("\n", "")
    assert hub.downloads(name)[0] == 0 and min(hub.downloads(name)[before:]) == KEPT

    arrived = len(hub.downloads(name))
    third = start(endpoint, tmp_path)  # it is there already
    third.communicate(timeout=LIMIT)
    assert third.returncode == 0
    assert len(hub.downloads(name)) == arrived


def test_a_file_of_another_sha256_is_deleted(hub: Hub, tmp_path: Path) -> None:
    hub.stalls, hub.sha256 = 0, "0" * 64
    done = start(f"http://127.0.0.1:{hub.server_address[1]}", tmp_path)
    _, said = done.communicate(timeout=LIMIT)
    assert done.returncode == 2 and "arrived damaged" in said and "try again" in said
    assert not list(tmp_path.glob("*.pth*"))


def test_without_a_network_one_line_names_the_file_to_provide(tmp_path: Path) -> None:
    done = start("http://127.0.0.1:9", tmp_path)
    _, said = done.communicate(timeout=LIMIT)
    assert done.returncode == 2
    (line,) = [line for line in said.splitlines() if line.strip()]
    assert teacher.RELEASED["glip-t-b"] in line and "label.weights" in line


def test_a_folder_that_cannot_be_written_is_not_blamed_on_the_network(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    done = start(f"http://127.0.0.1:{hub.server_address[1]}", tmp_path, out="taken")
    _, said = done.communicate(timeout=LIMIT)
    assert done.returncode == 2
    (line,) = [line for line in said.splitlines() if line.strip()]
    assert "cannot be kept in" in line and "taken" in line and "hub" not in line


def test_the_card_of_a_packaged_teacher_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    expected = (WEIGHTS / "glip-nano.md").read_text(encoding="utf-8")
    teacher.info("glip-nano")
    assert capsys.readouterr().out == expected
    teacher.info(None)
    assert expected.strip() in capsys.readouterr().out
    with pytest.raises(UserError, match=r"no packaged 'glip-t'; there are glip-nano"):
        teacher.info("glip-t")


def test_an_unknown_release_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no released 'glip-x'; there are glip-t-a, glip-t-b, glip-t-c, glip-t, glip-l"
    ):
        teacher.pull("glip-x", str(tmp_path))


def test_a_pth_becomes_safetensors_that_fit_the_variant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = Glip.from_variant("glip-nano", seed=4).state_dict()
    source, target = str(tmp_path / "a.pth"), str(tmp_path / "a.safetensors")
    torch.save({"model": {f"module.{name}": value for name, value in state.items()}}, source)
    teacher.convert("glip-nano", source, target)
    assert f"--set label.weights={target}" in capsys.readouterr().out.replace("\n", "")
    written = read_weights(target)
    assert written.keys() == state.keys()
    assert all(torch.equal(written[name], value) for name, value in state.items())


def test_what_cannot_be_converted_is_one_line(tmp_path: Path) -> None:
    source = tmp_path / "a.pth"
    torch.save({"model": {"weight": torch.zeros(2)}}, source)
    target = str(tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="no variant 'glip-x'; there are glip-l, glip-nano"):
        teacher.convert("glip-x", str(source), target)
    with pytest.raises(UserError, match=r"must end in \.safetensors"):
        teacher.convert("glip-nano", str(source), str(tmp_path / "a.bin"))
    with pytest.raises(UserError, match=r"do not fit this variant; \d+ missing: .*1 unexpected: weight"):
        teacher.convert("glip-nano", str(source), target)
    torch.save({"model": Glip.from_variant("glip-nano").state_dict()}, source)
    with pytest.raises(UserError, match=r"nowhere.*cannot be written"):
        teacher.convert("glip-nano", str(source), str(tmp_path / "nowhere" / "a.safetensors"))
    with pytest.raises(UserError, match="no such weights file"):
        teacher.convert("glip-nano", str(tmp_path / "none.pth"), target)
    assert not Path(target).exists()
