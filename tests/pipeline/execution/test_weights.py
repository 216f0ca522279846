"""Weights travel by the run folder: a machine of the cluster needs no file of its own, and a stale one does no harm."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from model.checkpoint import sha256
from model.hub import fetch
from pipeline.execution import weights
from pipeline.execution.weights import local_config, ship
from pipeline.run.task import Context
from pipeline.storage.base import Storage
from pipeline.storage.local import LocalStorage
from pipeline.storage.open import open_storage
from schemas.config import Config, StartConfig
from tests.hub import COMMIT, serving


def context(run: Path, **sections: dict[str, Any]) -> Context:
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


def test_the_weights_of_every_teacher_travel(tmp_path: Path) -> None:
    run, mine = tmp_path / "run", tmp_path / "mine.safetensors"
    mine.write_bytes(b"these weights")
    teachers: Any = ["glip-nano", {"name": "other", "teacher": "glip-t", "weights": str(mine)}]
    first, second = local_config(ship(context(run, label={"teachers": teachers}))).label.teachers
    assert first.weights is None and Path(second.weights or "").read_bytes() == b"these weights"
    assert Path(second.weights or "").parent == run / "weights" and second.name == "other"


def test_the_embedder_travels(tmp_path: Path) -> None:
    run, mine = tmp_path / "run", tmp_path / "checkpoint"
    mine.mkdir()
    (mine / "config.json").write_text("{}")
    (mine / "model.safetensors").write_text("weights")
    there = local_config(ship(context(run, curate={"embedder": {"model": str(mine), "batch_size": 3}}))).curate
    assert Path(there.embedder.model or "").parent == run / "weights" and there.embedder.batch_size == 3
    assert (Path(there.embedder.model or "") / "model.safetensors").read_text() == "weights"


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


def test_a_checkpoint_of_the_hub_travels_as_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, mine = tmp_path / "run", tmp_path / "checkpoint"
    mine.mkdir()
    (mine / "config.json").write_text("{}")
    (mine / "model.safetensors").write_text("weights")
    with serving(tmp_path / "cache", monkeypatch) as hub:
        hub.models["owner/name"] = mine
        fetch("owner/name")  # as the driver does when it resolves the config
        asked = len(hub.asked)
        sent = ship(context(run, label={"weights": "owner/name", "revision": COMMIT}))
        assert len(hub.asked) == asked
        second = ship(context(run, rescore={"model": "owner/name", "revision": COMMIT}))
    there = local_config(sent).label
    assert there.revision is None and there.weights is not None
    assert (local_config(second).rescore.model, local_config(second).rescore.revision) == (there.weights, None)
    assert fetch(there.weights, there.revision).folder == run / "weights" / sha256(mine)
    assert files_below(Path(there.weights)) == files_below(mine)


def folder_of_weights(top: Path) -> dict[str, bytes]:
    """Writes a folder as checkpoints have it; returns what counts of it, by name."""
    files = {"config.json": b"{}", "model-00001.safetensors": bytes(range(256)) * 300, "tokenizer/vocab.txt": b"a\nb\n"}
    for name, data in {**files, ".cache/huggingface/download.lock": b"when", "tokenizer/.hidden": b"x"}.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)
    return files


def files_below(top: Path) -> dict[str, bytes]:
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in sorted(top.rglob("*")) if path.is_file()}


def test_a_folder_travels_too(tmp_path: Path) -> None:
    run, mine = tmp_path / "run", tmp_path / "checkpoint"
    files = folder_of_weights(mine)
    sent = ship(context(run, label={"weights": str(mine)}))
    digest = sha256(mine)
    assert config_of(sent).label.weights == f"run:weights/{digest}"
    assert files_below(run / "weights") == {f"{digest}/{name}": data for name, data in files.items()}
    there = Path(local_config(sent).label.weights or "")
    assert sha256(there) == digest
    (mine / "config.json").write_bytes(b"{1}")
    assert config_of(ship(context(run, label={"weights": str(mine)}))).label.weights != f"run:weights/{digest}"


def test_an_interrupted_shipment_of_a_folder_is_completed(tmp_path: Path) -> None:
    run, mine = tmp_path / "run", tmp_path / "checkpoint"
    files = folder_of_weights(mine)
    sent = ship(context(run, label={"weights": str(mine)}))
    there = Path(local_config(sent).label.weights or "")
    (there / "tokenizer" / "vocab.txt").unlink()
    assert ship(context(run, label={"weights": str(mine)})) == sent and files_below(there) == files


def test_a_folder_called_teacher_is_no_start_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder_of_weights(tmp_path / "teacher")
    plain = context(tmp_path / "run", train={"init": "teacher"})
    assert ship(plain) == plain


@pytest.mark.parametrize("store", ["memory", "s3"])
def test_a_folder_comes_out_of_an_object_store_as_it_went_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, store: str
) -> None:
    monkeypatch.setattr(weights.tempfile, "tempdir", str(tmp_path / "worker"))
    base = request.getfixturevalue("bucket") if store == "s3" else f"memory://{tmp_path.name}-folder"
    run, mine = f"{base}/run", tmp_path / "checkpoint"
    files = folder_of_weights(mine)
    sent = ship(Context(run, Config.model_validate({"label": {"weights": str(mine)}}).model_dump_json(), "id"))
    shutil.rmtree(mine)
    first, second = (Path(local_config(sent).label.weights or "") for _ in range(2))
    assert first == second and files_below(first) == files
    assert list(first.parent.iterdir()) == [first] and first.is_relative_to(tmp_path / "worker")
    stored = {path.partition("/")[2].partition("/")[2] for path in open_storage(run).list("weights")}
    assert stored == set(files)


def test_workers_that_copy_a_folder_at_the_same_time_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights.tempfile, "tempdir", str(tmp_path / "worker"))
    run, mine = f"memory://{tmp_path.name}-race/run", tmp_path / "checkpoint"
    files = folder_of_weights(mine)
    sent = ship(Context(run, Config.model_validate({"label": {"weights": str(mine)}}).model_dump_json(), "id"))
    download, pid = weights._download, os.getpid()

    def slow(storage: Storage, path: str, target: Path) -> None:
        """Another worker is done before the first file has come."""
        download(storage, path, target)
        monkeypatch.setattr(weights, "_download", download)
        monkeypatch.setattr(weights.os, "getpid", lambda: pid + 1)
        local_config(sent)
        monkeypatch.setattr(weights.os, "getpid", lambda: pid)

    monkeypatch.setattr(weights, "_download", slow)
    copy = Path(local_config(sent).label.weights or "")
    assert files_below(copy) == files and list(copy.parent.iterdir()) == [copy]


def test_names_in_a_store_never_lead_out_of_the_folder() -> None:
    assert weights._below("weights/ab.pth", "weights/ab.pth").as_posix() == "."
    assert weights._below("weights/ab", "weights/ab/c/d.txt").as_posix() == "c/d.txt"
    with pytest.raises(ValueError, match="outside of their folder"):
        weights._below("weights/ab", "weights/ab/../../bashrc")


def test_the_weights_of_both_encoders_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, mine, folder = tmp_path / "run", tmp_path / "swin.pth", tmp_path / "bert"
    mine.write_bytes(b"these weights")
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("{}")
    with serving(tmp_path / "cache", monkeypatch) as hub:
        hub.models["owner/bert"] = folder
        init = {"visual": str(mine), "text": "owner/bert", "text_revision": COMMIT}
        there = local_config(ship(context(run, train={"init": init}))).train.init
    assert isinstance(there, StartConfig) and there.text_revision is None
    assert Path(there.visual or "").read_bytes() == b"these weights" and Path(there.visual or "").suffix == ".pth"
    assert (Path(there.text or "") / "model.safetensors").read_text() == "{}"
    assert {Path(path or "").parent for path in (there.visual, there.text)} == {run / "weights"}
