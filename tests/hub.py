"""A hub of our own for tests: serves folders as the Hugging Face hub serves the files of a model."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

COMMIT = "c0ffee" + "0" * 34  # of whatever is served


class Hub(ThreadingHTTPServer):
    """Serves `models`: an id of the hub, and the folder with its files at the only commit there is."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubRequest)
        self.models: dict[str, Path] = {}
        self.asked: list[str] = []  # "METHOD /path"
        self.downloaded: list[str] = []  # names of files whose bytes went out

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class HubRequest(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.server.asked.append(f"{self.command} {path}")
        for model, folder in self.server.models.items():
            if path in (f"/api/models/{model}", f"/api/models/{model}/revision/main"):
                return self.answer(json.dumps({"id": model, "sha": COMMIT, "siblings": []}).encode())
            if path == f"/api/models/{model}/tree/{COMMIT}":
                return self.answer(json.dumps([entry(folder, file) for file in files(folder)]).encode())
            name = path.removeprefix(f"/{model}/resolve/{COMMIT}/")
            if name != path and (folder / name).is_file():
                data = (folder / name).read_bytes()
                facts = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
                self.server.downloaded += [name] * (self.command == "GET")
                return self.answer(data, 200, facts)
        code = "RevisionNotFound" if any(model in path for model in self.server.models) else "RepoNotFound"
        return self.answer(b"{}", 404, {"X-Error-Code": code})

    do_HEAD = do_GET

    def answer(self, content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Silence."""


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def entry(folder: Path, file: Path) -> dict[str, object]:
    data = file.read_bytes()
    name = file.relative_to(folder).as_posix()
    return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}


@contextmanager
def serving(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """huggingface_hub, in this process and in those that it starts, asks our hub, and keeps files below `home`."""
    from huggingface_hub import constants

    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    monkeypatch.setenv("HF_HUB_CACHE", str(home))
    monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home))
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
