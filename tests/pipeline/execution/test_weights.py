"""Weights travel by the run folder: a machine of the cluster needs no file of its own, and a stale one does no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.execution import weights
from pipeline.execution.weights import local_config, ship
from pipeline.run.task import Context
from pipeline.storage.local import LocalStorage
from pipeline.storage.open import open_storage
from schemas.config import Config


def context(run: Path, **sections: dict[str, str]) -> Context:
    return Context(str(run), Config.model_validate({"run": str(run), **sections}).model_dump_json(), "id")


def config_of(found: Context) -> Config:
    return Config.model_validate_json(found.config)


def test_what_the_driver_has_is_what_the_workers_get(tmp_path: Path) -> None:
    run, mine = tmp_path / "run", tmp_path / "mine.safetensors"
    mine.write_bytes(b"these weights")
    sent = ship(context(run, label={"weights": str(mine)}, train={"init": str(mine)}))
    assert len(list((run / "weights").iterdir())) == 1 and not LocalStorage(str(run)).list("state/drafts")
    mine.write_bytes(b"another file under the same name on a worker's machine")
    there = local_config(sent)
    assert there.label.weights is not None and there.label.weights == there.train.init
    assert Path(there.label.weights).read_bytes() == b"these weights" and there.label.weights.endswith(".safetensors")
    again = ship(context(run, label={"weights": str(mine)}))
    assert Path(local_config(again).label.weights or "").read_bytes().startswith(b"another")
    assert len(list((run / "weights").iterdir())) == 2


def test_nothing_is_sent_where_nothing_is_named(tmp_path: Path) -> None:
    plain = context(tmp_path / "run", train={"init": "teacher"})
    assert local_config(ship(plain)) == config_of(plain) and not (tmp_path / "run").exists()


def test_of_an_object_store_the_workers_of_a_machine_share_one_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights.tempfile, "tempdir", str(tmp_path / "worker"))
    mine = tmp_path / "mine.pth"
    mine.write_bytes(bytes(range(256)) * 5000)
    run = f"memory://{tmp_path.name}/run"
    sent = ship(Context(run, Config.model_validate({"label": {"weights": str(mine)}}).model_dump_json(), "id"))
    mine.unlink()
    first, second = (Path(local_config(sent).label.weights or "") for _ in range(2))
    assert first == second and first.read_bytes() == bytes(range(256)) * 5000
    assert list(first.parent.iterdir()) == [first]
    assert open_storage(run).exists(f"weights/{first.name}")
