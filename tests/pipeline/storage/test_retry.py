"""What a store may answer: what passes is tried again, the rest is one line."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from pipeline.storage import retry as module
from pipeline.storage.retry import StoreError, http_status, is_transient, retry, translate_os_errors


class Answered(Exception):
    """As a driver raises it for an HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited between calls, of a clock that does not tick."""
    waited: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waited.append)
    monkeypatch.setattr(module.random, "uniform", lambda low, high: 1.0)
    return waited


def failing(*errors: Exception) -> Callable[[], str]:
    left = list(errors)

    def call() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return call


def test_a_store_that_is_down_for_a_while_is_asked_again_with_growing_pauses(pauses: list[float]) -> None:
    call = failing(Answered(503), ConnectionResetError("reset"), TimeoutError("slow"), Answered(429))
    assert retry(call, "pairs/part-0000000.parquet") == "answer"
    assert pauses == list(module.RETRY_SECONDS[:4]) and pauses == sorted(pauses)


def test_a_store_that_stays_down_is_named_with_the_file(pauses: list[float]) -> None:
    with pytest.raises(StoreError, match=r"pairs/x: the store keeps failing \(Answered: HTTP 500\)"):
        retry(failing(*[Answered(500)] * 99), "pairs/x")
    assert pauses == list(module.RETRY_SECONDS)


@pytest.mark.parametrize("error", [Answered(403), Answered(401), PermissionError("no")])
def test_a_refusal_is_not_asked_again(error: Exception, pauses: list[float]) -> None:
    with pytest.raises(StoreError, match=r"the store refuses access .*check the credentials"):
        retry(failing(error), "pairs/x")
    assert pauses == []


@pytest.mark.parametrize("error", [FileNotFoundError("x"), FileExistsError("x"), KeyError("a mistake"), Answered(404)])
def test_what_will_not_pass_is_raised_as_it_is(error: Exception, pauses: list[float]) -> None:
    with pytest.raises(type(error)):
        retry(failing(error), "pairs/x")
    assert pauses == []


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (Answered(500), True),
        (Answered(501), False),  # not implemented, and will not be in a minute
        (Answered(408), True),
        (Answered(412), False),
        (EOFError(), True),
        (OSError(errno.ENOSPC, "full"), False),
        (ValueError("a mistake"), False),
    ],
)
def test_what_may_pass(error: Exception, transient: bool) -> None:
    assert is_transient(error) is transient


def test_the_status_is_found_in_the_error_or_its_cause() -> None:
    boto, outer = Exception(), RuntimeError("a driver's own words")
    boto.response = {"ResponseMetadata": {"HTTPStatusCode": 503}}  # type: ignore[attr-defined]
    outer.__cause__ = boto
    assert http_status(outer) == 503 and http_status(Answered(404)) == 404
    assert http_status(RuntimeError("nothing said")) is None


def test_a_full_disk_and_a_refusing_one_are_store_errors() -> None:
    with pytest.raises(StoreError, match="labels/x: no space left on the disk"), translate_os_errors("labels/x"):
        raise OSError(errno.EDQUOT, "quota")
    with pytest.raises(StoreError, match="labels/x: the disk refuses to write"), translate_os_errors("labels/x"):
        raise PermissionError(errno.EACCES, "denied")
    with pytest.raises(IsADirectoryError), translate_os_errors("labels/x"):
        raise IsADirectoryError
