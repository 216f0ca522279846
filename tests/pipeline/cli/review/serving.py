"""The review page of a run, served in a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.cli.review.command import appender
from pipeline.cli.review.server import ReviewServer
from stages.review.draw import draw
from stages.review.session import Session


@contextmanager
def serving(run: Any, boxes: int = 40, phrases: int = 0) -> Iterator[ReviewServer]:
    io = run.all_parts()
    session = Session(io, run.config, *draw(io, run.config, boxes, phrases), appender(run.storage))
    with ReviewServer(session) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
