"""Fake tensors and real ones use the model in turn, and nothing passes between them."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

import model
from model import fake_tensors as module
from model.backbone import relative_position_index
from model.fake_tensors import fake_tensors
from model.glip import Glip
from model.variants import get_variant


def ground(glip: Glip) -> torch.Tensor:
    ids = torch.ones(1, 5, dtype=torch.long)
    with torch.no_grad():
        return glip.head_from(glip.backbone(torch.ones(1, 3, 96, 128)), ids, torch.ones_like(ids))[0].token_logits


def test_real_and_fake_tensors_take_turns() -> None:
    real, mode = Glip.from_variant("glip-nano").eval(), FakeTensorMode()
    before = ground(real)
    with fake_tensors(mode):
        fake = Glip(get_variant("glip-nano")).eval()
        found = ground(fake)
    assert isinstance(found, FakeTensor) and found.shape == before.shape == (1, 12 * 16, 5)
    assert torch.equal(ground(real), before)
    with fake_tensors(mode):
        assert ground(fake).shape == found.shape


def test_what_the_model_keeps_is_forgotten_even_after_an_error() -> None:
    with pytest.raises(RuntimeError, match="in between"), fake_tensors(FakeTensorMode()):
        assert isinstance(relative_position_index(4, torch.device("cpu")), FakeTensor)
        raise RuntimeError("in between")
    assert not isinstance(relative_position_index(4, torch.device("cpu")), FakeTensor)


def test_every_function_of_the_model_that_keeps_tensors_is_among_them() -> None:
    modules = [importlib.import_module(f"model.{found.name}") for found in pkgutil.iter_modules(model.__path__)]
    cached = {value for own in modules for value in vars(own).values() if hasattr(value, "cache_clear")}
    assert {value for value in cached if "Tensor" in str(value.__annotations__.get("return"))} == set(module.KEPT)
