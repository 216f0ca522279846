"""What may go wrong with a store: what passes is tried again, the rest becomes one clear line."""

from __future__ import annotations

import asyncio
import errno
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

WRITE_SECONDS = 120.0  # that a write may take, beside what its bytes take at SLOWEST
SLOWEST = 500_000  # bytes a second
RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
NOT_IMPLEMENTED = 501
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class StoreError(Exception):
    """The store is full, refuses, or keeps failing; the text says which and where. The run stops, nothing is lost."""


@contextmanager
def translate_os_errors(path: str) -> Iterator[None]:
    """Turns a full or refusing disk into a StoreError that names the file."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise StoreError(f"{path}: no space left on the disk; free some and run again") from error
        if isinstance(error, PermissionError):
            raise StoreError(f"{path}: the disk refuses to write ({error.strerror})") from error
        raise


def retry(call: Callable[[], T], path: str) -> T:
    """Calls an object store, again with growing pauses while it is down, slow or busy.

    Raises FileNotFoundError and FileExistsError as they are; StoreError when the store refuses or stays down.
    """
    pauses = iter(RETRY_SECONDS)
    while True:
        try:
            return call()
        except (FileNotFoundError, FileExistsError):
            raise
        except Exception as error:
            if isinstance(error, PermissionError) or http_status(error) in (401, 403):
                text = f"{path}: the store refuses access ({error}); check the credentials and rights"
                raise StoreError(text) from error
            if not is_transient(error):
                raise
            pause = next(pauses, None)
            if pause is None:
                raise StoreError(f"{path}: the store keeps failing ({type(error).__name__}: {error})") from error
        time.sleep(pause * random.uniform(0.8, 1.2))


def write_in_time(fs: Any, call: str, *arguments: Any, size: int, **options: Any) -> None:
    """`fs.call(*arguments, **options)`, a write of so many bytes; a TimeoutError where the store never answers.

    The drivers have a limit of their own for reads, but none for a write whose connection is lost while it waits for
    the store's leave to begin: it would wait for ever.
    """
    from fsspec.asyn import AsyncFileSystem, sync

    if not isinstance(fs, AsyncFileSystem):
        getattr(fs, call)(*arguments, **options)
        return

    async def limited() -> None:
        await asyncio.wait_for(getattr(fs, f"_{call}")(*arguments, **options), WRITE_SECONDS + size / SLOWEST)

    sync(fs.loop, limited)


def http_status(error: BaseException | None) -> int | None:
    """What the server said, where the driver's error or its cause tells."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict) and "ResponseMetadata" in response:
            return int(response["ResponseMetadata"].get("HTTPStatusCode", 0)) or None
        code = getattr(error, "status", getattr(error, "code", None))
        said = type(error).__module__ != "aiohttp.http_exceptions"  # its own 400 for an answer that was cut off
        if said and isinstance(code, int) and 400 <= code < 600:
            return code
        error = error.__cause__
    return None


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed in a while: time-outs, resets, 5xx and throttling."""
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return False
    status = http_status(error)
    if status is not None:
        return (status >= 500 and status != NOT_IMPLEMENTED) or status in (408, 429)
    if isinstance(error, (OSError, TimeoutError, ConnectionError, EOFError)):
        return True
    module = type(error).__module__.partition(".")[0]
    return module in {"aiohttp", "botocore", "aiobotocore", "urllib3", "requests", "google", "gcsfs"}
