"""An S3 server on the loopback that fails as a test tells it to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from tests.waiting import LIMIT


class Moody:
    """An S3 server (moto's) that fails as told: `mood` holds what writes get at first.

    A status code; 0 to drop the connection; None to let one through; a negative number not to answer until asked again.
    """

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app

        self._app = DomainDispatcherApplication(create_backend_app)
        self.mood: list[int | None] = []
        self.ranges: list[int] = []  # the same for reads of a byte range
        self.cuts = 0  # answers to reads that end in the middle
        self.delay = 0.0  # seconds before every answer
        self.writes = 0
        self.asked_again = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        time.sleep(self.delay)
        if environ["REQUEST_METHOD"] in ("PUT", "POST", "DELETE"):
            self.writes += 1
            self.asked_again.set()
            if self.mood and (status := self.mood.pop(0)) is not None:
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                return self._refuse(start_response, status)
        if environ.get("HTTP_RANGE") and self.ranges:
            return self._refuse(start_response, self.ranges.pop(0))
        answer = self._app(environ, start_response)
        if environ["REQUEST_METHOD"] == "GET" and self.cuts:
            self.cuts -= 1
            body = b"".join(answer)
            return [body[: len(body) // 2]]  # the header promises more; the server hangs up
        return answer

    def _refuse(self, start_response: Callable[..., Any], status: int) -> list[bytes]:
        if status < 0:
            self.asked_again.clear()
            self.asked_again.wait(LIMIT)
        if status <= 0:
            raise ConnectionResetError("hung up by the test")
        start_response(f"{status} Injected", [("Content-Type", "application/xml")])
        return [b"<Error><Code>Injected</Code><Message>by the test</Message></Error>"]
