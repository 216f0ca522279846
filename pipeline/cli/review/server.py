"""The page's server: for this machine alone, and for whoever knows the token in its address.

A page of another origin cannot read what lies here, nor judge: every address begins with the token, requests must name
this server as their host (so that a name that is pointed at 127.0.0.1 is refused), and a judgement must come from this
origin. Addresses hold the token and numbers, and nothing of the data.
"""

from __future__ import annotations

import json
import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from pipeline.storage.retry import StoreError
from stages.review.page import render
from stages.review.session import BadRequest, Session
from stages.stage import RowError, UserError

LOOPBACK = "127.0.0.1"
LARGEST = 64 << 10  # bytes of a judgement


class ReviewServer(ThreadingHTTPServer):
    """Serves one session, from its creation to `server_close`."""

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0) -> None:
        super().__init__((LOOPBACK, port), Handler)
        self.session = session
        self.token = secrets.token_urlsafe(24)
        self.html, self.policy = render()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that closes its connections, as at every reload, is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def origins(self) -> set[str]:
        return {f"{LOOPBACK}:{self.server_port}", f"localhost:{self.server_port}"}

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}/{self.token}/"


class Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    server_version, sys_version = "phrasebox", ""
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float] = 60.0

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        try:
            self._route(method)
        except (BadRequest, UserError) as error:
            self._say(HTTPStatus.BAD_REQUEST, str(error))
        except RowError as error:
            self._say(HTTPStatus.NOT_FOUND, error.reason)
        except (StoreError, OSError) as error:
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, f"it could not be kept: {error}")

    def _route(self, method: str) -> None:
        url = urlsplit(self.path)
        _, token, *rest = url.path.split("/")
        if self.headers.get("Host") not in self.server.origins:
            return self._say(HTTPStatus.MISDIRECTED_REQUEST, "another host")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            return self._say(HTTPStatus.NOT_FOUND, "nothing here")
        match method, *rest:
            case "GET", "":
                self._send(HTTPStatus.OK, "text/html; charset=utf-8", self.server.html.encode())
            case "GET", "state":
                name = parse_qs(url.query).get("reviewer", [""])[0]
                self._send(HTTPStatus.OK, "application/json", json.dumps(self.server.session.state(name)).encode())
            case "GET", ("image" | "crop") as kind, number if self._is_task(number):
                make = self.server.session.image if kind == "image" else self.server.session.crop
                self._send(HTTPStatus.OK, "image/webp", make(int(number)))
            case "POST", "judge":
                self._judge()
            case _:
                self._say(HTTPStatus.NOT_FOUND, "nothing here")
        return None

    def _judge(self) -> None:
        origin = self.headers.get("Origin", "")
        if origin.removeprefix("http://") not in self.server.origins:
            return self._say(HTTPStatus.FORBIDDEN, "another origin")
        if self.headers.get("Content-Type") != "application/json":
            return self._say(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "JSON is wanted")
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST:
            return self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too long")
        try:
            request: Any = json.loads(self.rfile.read(int(length)))
        except ValueError:
            raise BadRequest("this is not JSON") from None
        self.server.session.judge(request)
        self._send(HTTPStatus.OK, "application/json", b"{}")
        return None

    def _is_task(self, number: str) -> bool:
        return number.isascii() and number.isdigit() and int(number[:9]) < len(self.server.session.units)

    def _say(self, status: HTTPStatus, text: str) -> None:
        self.close_connection = True  # what was sent may be unread
        self._send(status, "text/plain; charset=utf-8", text.encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": self.server.policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """The address has the token, which belongs in no log."""
