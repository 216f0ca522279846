"""Precision is what it is called, and tensors reach a GPU through pinned memory, without a wait."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from model.device import forbid_tf32, host_buffer, send, to_host


class Recorded:
    """Stands for a tensor on a machine with a GPU, and writes down what is asked of it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.device = torch.device("cpu")

    def pin_memory(self) -> Recorded:
        self.calls.append(("pin_memory", None))
        return self

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Recorded:
        self.calls.append((f"to {device}", non_blocking))
        return self


def test_neither_convolutions_nor_products_round_to_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    torch.backends.cuda.matmul.allow_tf32 = True  # off by default, and after this test
    forbid_tf32()
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


def test_a_copy_to_a_gpu_is_pinned_and_not_waited_for() -> None:
    x = Recorded()
    send(x, "cuda:1")  # type: ignore[arg-type]
    assert x.calls == [("pin_memory", None), ("to cuda:1", True)]


def test_a_buffer_for_a_gpu_is_pinned_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(torch, "empty", lambda *shape, **options: asked.append((shape, options)))
    for device in ("cpu", torch.device("cpu")):
        buffer = host_buffer((2, 3), device)
        assert (buffer.shape, buffer.dtype) == ((2, 3), torch.uint8) and not asked
    host_buffer((2, 3), "cuda:1")
    assert asked == [((2, 3), {"dtype": torch.uint8, "pin_memory": True})]


def test_elsewhere_it_is_an_ordinary_copy() -> None:
    x = torch.arange(3)
    assert send(x, "cpu") is x and send(x, torch.device("meta")).device.type == "meta"


def test_what_comes_from_a_gpu_is_waited_for_on_its_own_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """The current device need not be the one of the tensors: an event of its stream would be over too early."""
    events: list[str] = []

    class Stream:
        def __init__(self, device: torch.device) -> None:
            self.device = device

        def record_event(self) -> Stream:
            events.append(f"recorded on {self.device}")
            return self

        def synchronize(self) -> None:
            events.append("waited")

    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    x = Recorded()
    x.device = torch.device("cuda:1")
    wait = to_host([x])  # type: ignore[list-item]
    assert x.calls == [("to cpu", True)] and events == ["recorded on cuda:1"]
    assert wait() == [x] and events[1:] == ["waited"]


def test_what_is_on_the_host_is_not_waited_for() -> None:
    x = torch.arange(3)
    assert to_host([x])()[0] is x
