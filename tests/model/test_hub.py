"""Checkpoints of folders and of the hub: what is downloaded, what is refused, and what happens without a network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.checkpoint import sha256, weights_files
from model.hub import Checkpoint, HubError, checked, fetch, read_json
from tests.hub import COMMIT, Hub, serving

READ = {"config.json", "model.safetensors", "preprocessor_config.json", "vocab.txt"}


def write_checkpoint(folder: Path) -> Path:
    """A folder with what transformers reads, and what often lies beside it."""
    (folder / "onnx").mkdir(parents=True)
    for name, text in {
        "config.json": '{"model_type": "owlv2"}',
        "preprocessor_config.json": "{}",
        "vocab.txt": "a\nb\n",
        "model.safetensors": "weights",
        "README.md": "# a model",
        "pytorch_model.bin": "a pickle",
        "onnx/config.json": "{}",
        "onnx/model.onnx": "a graph",
        ".gitattributes": "",
    }.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "checkpoint")


@pytest.fixture
def hub(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(tmp_path / "cache", monkeypatch) as server:
        server.models["owner/name"] = folder
        yield server


def test_a_folder_is_taken_where_it_lies(folder: Path) -> None:
    assert fetch(str(folder)) == Checkpoint(folder, None)


@pytest.mark.parametrize("revision", [None, "main"])
def test_a_model_of_the_hub_is_downloaded_once_and_its_commit_is_known(hub: Hub, revision: str | None) -> None:
    found = fetch("owner/name", revision)
    assert found.revision == COMMIT and set(hub.downloaded) == READ and len(hub.downloaded) == len(READ)
    assert {path.name for path in found.folder.iterdir()} == READ
    asked = len(hub.asked)
    assert fetch("owner/name", COMMIT) == found and len(hub.asked) == asked


def test_a_folder_has_no_revisions(folder: Path) -> None:
    with pytest.raises(HubError, match=r"checkpoint is a folder, which has no revisions; leave 'main' out$"):
        fetch(str(folder), "main")


@pytest.mark.parametrize("lost", sorted(READ))
@pytest.mark.parametrize("revision", [COMMIT, "main"])
def test_a_download_that_was_killed_is_completed(hub: Hub, revision: str, lost: str) -> None:
    """Whichever file had not come yet, and also where the commit was given, so that the cache is asked first."""
    found = fetch("owner/name", revision)
    for path in {(found.folder / lost).resolve(), found.folder / lost}:  # the file, and what names it in the snapshot
        path.unlink()
    hub.downloaded.clear()
    assert fetch("owner/name", revision) == found
    assert hub.downloaded == [lost] and {path.name for path in found.folder.iterdir()} == READ


def test_a_folder_and_a_snapshot_of_the_same_files_have_the_same_digest(hub: Hub, folder: Path) -> None:
    snapshot = fetch("owner/name").folder
    assert {path.name for path in weights_files(folder)} == READ
    before = sha256(folder)
    assert sha256(snapshot) == before
    (snapshot / "pytorch_model.bin").write_text("which another program has put into the hub's cache")
    assert sha256(snapshot) == before
    (folder / "vocab.txt").write_text("a\nc\n")
    assert sha256(folder) != before


def test_sharded_weights_are_all_of_them_read(hub: Hub, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    names = {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"}
    for name in names:
        (folder / name).write_text("{}")
    found = fetch("owner/name").folder
    assert {path.name for path in weights_files(found)} == READ - {"model.safetensors"} | names


def test_without_a_network_the_cache_serves_what_it_has(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fetch("owner/name", "main")
    hub.shutdown()
    hub.server_close()
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # between its attempts
    assert fetch("owner/name", COMMIT) == found
    assert fetch("owner/name", "main") == found
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(HubError) as caught:
        fetch("owner/name", COMMIT)
    assert str(caught.value).startswith(f"owner/name ({COMMIT}): the hub cannot be reached or does not give it (")
    assert str(caught.value).endswith("download it elsewhere, and give the path of its folder instead")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "revision", "words"),
    [
        ("owner/other", None, r"owner/other \(main\): the hub .* give it \(RepositoryNotFoundError\); download it"),
        ("owner/name", "v2", r"owner/name \(v2\): the hub .* give it \(RevisionNotFoundError\)"),
        ("not an id", None, r"not an id \(main\): the hub .* \(HFValidationError\)"),
        ("/nowhere/owner/name", None, "/nowhere/owner/name: no such folder, and no id of the hub"),
        ("./owner", None, "./owner: no such folder"),
        ("a/b/c", None, "a/b/c: no such folder"),
    ],
)
def test_what_is_not_there(hub: Hub, model: str, revision: str | None, words: str) -> None:
    with pytest.raises(HubError, match=words):
        fetch(model, revision)


def test_a_file_is_no_checkpoint(folder: Path) -> None:
    with pytest.raises(HubError, match="is a file; a checkpoint is a folder with config"):
        fetch(str(folder / "model.safetensors"))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "preprocessor_config.json"])
def test_a_config_that_asks_for_code_of_its_own_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text(json.dumps({"auto_map": {"AutoModel": "modeling.Model"}}))
    with pytest.raises(HubError, match=rf"brings code of its own \({name}\), which is never run"):
        checked(folder)


@pytest.mark.parametrize("name", ["modeling.py", "below/deep.py"])
def test_code_beside_a_checkpoint_is_refused(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("raise SystemExit")
    with pytest.raises(HubError, match=f"code of its own \\({name}\\)"):
        fetch(str(folder))


def test_code_of_a_model_of_the_hub_is_refused(hub: Hub, folder: Path) -> None:
    (folder / "modeling.py").write_text("raise SystemExit")
    with pytest.raises(HubError, match=r"code of its own \(modeling.py\)"):
        fetch("owner/name")


def test_pickles_alone_are_refused_and_never_downloaded(hub: Hub, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    for model in ("owner/name", str(folder)):
        with pytest.raises(HubError, match=r"no model\.safetensors; .*save_pretrained writes safetensors"):
            fetch(model)
    assert "pytorch_model.bin" not in hub.downloaded


@pytest.mark.parametrize(("text", "words"), [("{", "cannot be read as JSON"), ("[1]", "a list where an object")])
def test_a_damaged_config_is_named(folder: Path, text: str, words: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(HubError, match=f"config.json: {words}"):
        checked(folder)
    with pytest.raises(HubError, match=words):
        read_json(folder / "config.json")


def test_a_folder_without_a_config_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"no config\.json in it"):
        checked(tmp_path)
