"""Which code computes the deformable convolutions: settings, and a measurement whose clock is made up here."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model import deform_choice
from model.deform import deform_conv as plain
from model.deform_choice import Choice, convolutions, measure, settle
from model.device import DeviceError
from model.glip import Glip
from model.network import GlipNetwork


@pytest.fixture
def network() -> GlipNetwork:
    return Glip.pretrained("glip-nano")


def operators(network: GlipNetwork) -> set[object]:
    return {conv.operator for conv in convolutions(network)}


def test_without_a_gpu_nothing_is_measured(network: GlipNetwork) -> None:
    assert settle(network, "auto") == Choice("plain", "there is no GPU")
    assert settle(network, "plain").name == "plain"
    assert len(convolutions(network)) == 6 and operators(network) == {plain}


def test_the_kernel_grounds_as_the_plain_path_does(network: GlipNetwork) -> None:
    kernel = pytest.importorskip("model.deform_kernel", reason="Triton has no package for this platform")
    torch.manual_seed(0)
    pixels, ids, mask = torch.randn(1, 3, 32, 32), torch.randint(1, 100, (1, 256)), torch.zeros(1, 256)
    mask[:, :6] = 1
    with torch.inference_mode():
        wanted = network.head_outputs(pixels, ids, mask)
        assert settle(network, "triton") == Choice("triton", "asked for")
        assert operators(network) == {kernel.deform_conv}
        found = network.head_outputs(pixels, ids, mask)
    assert len(found) == 5
    for own, other in zip(found, wanted, strict=True):
        for x, y in zip(own, other, strict=True):
            torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4)
    settle(network, "plain")
    assert operators(network) == {plain}


def test_what_cannot_be_had_is_an_error_that_says_why(network: GlipNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = pytest.importorskip("model.deform_kernel", reason="Triton has no package for this platform")
    monkeypatch.setattr(kernel, "INTERPRETED", False)
    with pytest.raises(DeviceError, match="needs a GPU"):
        settle(network, "triton")
    monkeypatch.setitem(sys.modules, "model.deform_kernel", None)
    with pytest.raises(DeviceError, match="needs the package triton"):
        settle(network, "triton")
    assert operators(network) == {plain}


def clock(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
    """Lets runs take these times, in turn, on a small map."""
    given = iter(seconds)
    monkeypatch.setattr(deform_choice, "seconds_of", lambda run: next(given))
    monkeypatch.setattr(deform_choice, "MAP", (1, 4, 6))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("seconds", "name"), [((2.0, 1.0), "triton"), ((1.1, 1.0), "plain"), ((1.0, 2.0), "plain")])
def test_a_kernel_must_be_clearly_faster(
    network: GlipNetwork, monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, float], name: str, training: bool
) -> None:
    kernel = pytest.importorskip("model.deform_kernel", reason="Triton has no package for this platform")
    clock(monkeypatch, *seconds)
    network.train(training)
    choice = measure(network, kernel.deform_conv)
    assert choice == Choice(name, f"the kernel is {seconds[0] / seconds[1]:.2f} times as fast")


def fails(*_: object) -> Tensor:
    raise RuntimeError("no C compiler\nand more")


@pytest.mark.parametrize(
    ("kernel", "why"),
    [
        (lambda *inputs: plain(*inputs) * 1.01, "0.01 off"),
        (lambda *inputs: plain(*inputs) * float("nan"), "nan off"),
        (fails, r"does not run here \(no C compiler\)$"),
    ],
)
def test_a_kernel_that_is_wrong_or_fails_is_not_taken(
    network: GlipNetwork, monkeypatch: pytest.MonkeyPatch, kernel: Callable[..., Tensor], why: str
) -> None:
    pytest.importorskip("model.deform_kernel", reason="Triton has no package for this platform")
    clock(monkeypatch, 2.0, 1.0)
    choice = measure(network, kernel)
    assert choice.name == "plain"
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(choice.why)
