"""The teacher that a config names: what is wrong with it is for the user to mend, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.checkpoint import packaged_weights, sha256
from model.device import DeviceError
from model.teacher import Description, TeacherError
from schemas.config import Config
from stages.label.teacher import describe, open_scheduler, resolve_device, resolve_teacher, user_errors
from stages.stage import UserError


@pytest.mark.parametrize("error", [TeacherError("label.teacher: none"), DeviceError("device: none")])
def test_errors_of_the_model_are_for_the_user(error: Exception) -> None:
    with pytest.raises(UserError, match=str(error)) as raised, user_errors():
        raise error
    assert raised.value.__cause__ is error


def test_programming_errors_are_not() -> None:
    with pytest.raises(ZeroDivisionError), user_errors():
        assert 1 // 0


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (resolve_device("auto"), resolve_device("cpu")) == ("cpu", "cpu")
    with pytest.raises(UserError, match="torch sees no CUDA device here"):
        resolve_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (resolve_device("auto"), resolve_device("cuda:1")) == ("cuda", "cuda:1")


def test_a_config_is_described_the_same_before_and_after_it_is_resolved() -> None:
    config = Config()
    resolved = config.model_copy(update={"label": config.label.model_copy(update=resolve_teacher(config))})
    found = describe(config)
    assert found == describe(resolved) == Description("glip-nano", "glip-nano", sha256(packaged_weights("glip-nano")))


def test_weights_that_are_not_there_or_are_none(tmp_path: Path) -> None:
    config = Config.model_validate(
        {"label": {"teacher": "glip-nano", "weights": str(tmp_path / "absent.safetensors"), "device": "cpu"}}
    )
    with pytest.raises(UserError, match=r"weights of glip-nano: .*absent"):
        describe(config)
    (tmp_path / "absent.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="not a safetensors file"):
        open_scheduler(config.label)


def test_it_is_opened_to_work_in_its_batches() -> None:
    config = Config.model_validate({"label": {"device": "cpu", "batch_size": 3}})
    label = config.label.model_copy(update=resolve_teacher(config))
    scheduler = open_scheduler(label)
    assert scheduler.batch_size == 3 and scheduler.teacher.device == torch.device("cpu")
