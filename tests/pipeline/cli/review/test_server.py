"""Who may ask the server, and for what: another host, origin or token gets nothing."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipeline.cli.review.server import LARGEST, ReviewServer
from tests.pipeline.cli.review.serving import serving
from tests.stages.review.sitting import lines
from tests.waiting import wait_for

GOOD = {"reviewer": "ann", "task": 0, "verdict": "right"}


@pytest.fixture
def server(shapes: Callable[..., Any]) -> Iterator[ReviewServer]:
    with serving(shapes(part_size=40).fill(40), boxes=10, phrases=2) as served:
        yield served


def ask(
    server: ReviewServer, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """`path`: after the token."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    try:
        data = json.dumps(body) if body is not None and not isinstance(body, str) else body
        own = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"/{server.token}/{path}", data, own)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def origin(server: ReviewServer) -> dict[str, str]:
    return {"Origin": f"http://127.0.0.1:{server.server_port}", "Content_Type": "application/json"}


def test_the_page_comes_with_a_strict_policy(server: ReviewServer) -> None:
    status, headers, body = ask(server, "GET", "")
    assert status == 200 and b"phrasebox review" in body and b"{{" not in body
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert headers["Referrer-Policy"] == "no-referrer" and headers["Cache-Control"] == "no-store"
    assert urlsplit(server.address).hostname == "127.0.0.1" and len(server.token) >= 32


def test_it_listens_on_the_loopback_alone(server: ReviewServer) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"
    with socket.socket() as other:
        other.settimeout(5)
        assert other.connect_ex(("127.0.0.2", server.server_port)) != 0


@pytest.mark.parametrize("path", ["state?reviewer=ann", "image/0", "crop/0"])
def test_without_the_token_there_is_nothing(server: ReviewServer, path: str) -> None:
    assert ask(server, "GET", path)[0] == 200
    for token in ("", "guess", "%C3%A9"):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
        connection.request("GET", f"/{token}/{path}")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (404, b"nothing here")
        connection.close()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1"])
def test_another_name_for_this_machine_is_refused(server: ReviewServer, host: str) -> None:
    """A name of the attacker's that points to 127.0.0.1 (DNS rebinding) sends that name as the host."""
    assert ask(server, "GET", "", Host=host)[0] == 421
    assert ask(server, "GET", "", Host=f"localhost:{server.server_port}")[0] == 200


def test_a_judgement_comes_from_the_page_alone(server: ReviewServer) -> None:
    good = origin(server)
    for bad in ("http://evil.example", "null", "", f"https://127.0.0.1:{server.server_port}"):
        assert ask(server, "POST", "judge", GOOD, **{**good, "Origin": bad})[0] == 403
    assert ask(server, "POST", "judge", GOOD, **{**good, "Content_Type": "text/plain"})[0] == 415
    assert ask(server, "POST", "judge", "not json", **good)[0] == 400
    assert ask(server, "POST", "judge", {**GOOD, "pad": "x" * LARGEST}, **good)[0] == 413
    assert ask(server, "POST", "judge", {**GOOD, "reviewer": "../../x"}, **good)[0] == 400
    assert ask(server, "POST", "judge", {**GOOD, "task": 10_000}, **good)[0] == 400
    assert ask(server, "POST", "judge", GOOD, **good)[0] == 200
    run = server.session.io.storage.root  # type: ignore[attr-defined]
    assert [line["verdict"] for line in lines_of(run, "ann")] == ["right"]


def lines_of(root: str, reviewer: str) -> list[dict[str, Any]]:
    from pathlib import Path
    from types import SimpleNamespace

    return lines(SimpleNamespace(root=Path(root)), reviewer)


@pytest.mark.parametrize(
    "path",
    ["image/12", "image/99999999999999999999", "image/-1", "image/..%2f..", "crop/x", "reviews/ann.jsonl", "a/b/c"],
)
def test_there_is_no_path_into_the_data(server: ReviewServer, path: str) -> None:
    status, _, body = ask(server, "GET", path)
    assert (status, body) == (404, b"nothing here")
    assert ask(server, "PUT", "judge")[0] == 501


def test_a_name_that_makes_no_file_is_explained(server: ReviewServer) -> None:
    status, _, body = ask(server, "GET", "state?reviewer=a%2Fb")
    assert status == 400 and b"cannot be a reviewer's name" in body


def test_a_browser_that_goes_away_is_no_error(server: ReviewServer, capfd: pytest.CaptureFixture[str]) -> None:
    """With a reset in the middle of a request; any other error is told, as before."""
    seen: list[str] = []
    told = server.handle_error
    server.handle_error = lambda request, address: (told(request, address), seen.append("told"))  # type: ignore[method-assign]
    with socket.create_connection(("127.0.0.1", server.server_port)) as browser:
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing sends a reset
        browser.sendall(b"GET /")
    wait_for(lambda: seen)
    assert capfd.readouterr().err == ""
    try:
        raise ValueError("a mistake")
    except ValueError:
        told(None, ("127.0.0.1", 1))
    assert "a mistake" in capfd.readouterr().err
