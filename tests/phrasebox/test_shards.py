"""The shards of a run as a webdataset pipeline: who reads what, in which order, and how an image stands."""

from __future__ import annotations

import io
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

import phrasebox
from tests.phrasebox.conftest import PHOTOS, photo

KEYS = {f"photos-{number // 4:07d}{number % 4:05d}" for number in range(PHOTOS)}


def keys(samples: Any) -> list[str]:
    return [sample["__key__"] for sample in samples]


def first(samples: list[Any]) -> Any:
    return samples[0]


def test_a_sample_holds_an_upright_image_and_its_record(finished: str) -> None:
    samples = list(phrasebox.open(finished).webdataset())
    assert keys(samples) == sorted(KEYS)
    for number, sample in enumerate(samples):
        assert np.array_equal(np.asarray(sample["image"]), np.asarray(photo(number)))
        record = sample["json"]
        assert record["key"] == sample["__key__"].removeprefix("photos-")
        assert record["orientation"] == (6 if number % 2 else 1)
        assert (record["width"], record["height"]) == sample["image"].size == (60, 40)
        assert record["boxes"] and all(max(box["bbox"]) <= 60 for box in record["boxes"])


def test_stored_bytes_are_left_alone(finished: str, source: Path) -> None:
    samples = list(phrasebox.open(finished).webdataset(upright=False))
    for number, sample in enumerate(samples):
        assert sample["image"] == (source / f"{number:02d}.png").read_bytes()
    assert Image.open(io.BytesIO(samples[1]["image"])).size == (40, 60)  # it lies on its side


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 2, 6])
@pytest.mark.parametrize("shuffle", [0, 4])
def test_an_epoch_has_every_sample_once(finished: str, workers: int, shuffle: int) -> None:
    """Whatever the number of workers; five shards leave one of six idle."""
    loader = DataLoader(phrasebox.open(finished).webdataset(shuffle=shuffle), batch_size=None, num_workers=workers)
    for _ in range(2):
        assert Counter(keys(loader)) == Counter(KEYS)


def test_ranks_share_an_epoch(finished: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, seen = phrasebox.open(finished).webdataset(shuffle=3), []
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        seen.append(keys(DataLoader(dataset, batch_size=None, num_workers=2)))
    assert all(seen) and Counter(key for share in seen for key in share) == Counter(KEYS)
    monkeypatch.setenv("WORLD_SIZE", "7")
    with pytest.raises(phrasebox.UserError, match=r"5 shards cannot be split among 7 ranks; .*samples_per_shard"):
        next(iter(dataset))


def test_an_order_follows_from_the_seed_and_differs_between_epochs(finished: str) -> None:
    run = phrasebox.open(finished)

    def epochs(seed: int) -> list[list[str]]:
        dataset = run.webdataset(shuffle=5, seed=seed)
        return [keys(dataset) for _ in range(3)]

    assert epochs(1) == epochs(1) != epochs(2)
    assert len({tuple(epoch) for epoch in epochs(1)}) == 3
    assert all(set(epoch) == KEYS for epoch in epochs(1))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_resampled_epochs_have_the_length_asked_for(finished: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = phrasebox.open(finished).webdataset(resampled=True, samples=162, shuffle=3)
    assert len(keys(dataset)) == 162
    monkeypatch.setenv("WORLD_SIZE", "4")  # 16 workers, of 5 shards
    seen = []
    for rank in range(4):
        monkeypatch.setenv("RANK", str(rank))
        loader = DataLoader(dataset, batch_size=None, num_workers=4)
        seen += [keys(loader), keys(loader)]
    assert [len(epoch) for epoch in seen] == [40] * 8  # 162 / 4, rounded down: no rank waits for another
    assert len({tuple(epoch) for epoch in seen}) == 8
    assert {key for epoch in seen for key in epoch} == KEYS  # 320 draws from 10: one in 10 ** 13 times a key is missing


def test_resampling_has_no_end(finished: str) -> None:
    dataset = phrasebox.open(finished).webdataset(resampled=True)
    assert len(keys(islice(dataset, 50))) == 50


def test_it_goes_on_as_any_webdataset_does(finished: str) -> None:
    captions = phrasebox.open(finished).webdataset().map(lambda sample: sample["json"]["caption"]).listed(4)
    assert [len(batch) for batch in captions] == [4, 4, 2]


@pytest.mark.slow
def test_it_travels_to_workers_that_inherit_nothing(finished: str) -> None:
    dataset = phrasebox.open(finished).webdataset(shuffle=2)
    loader = DataLoader(dataset, batch_size=1, num_workers=2, collate_fn=first, multiprocessing_context="spawn")
    assert Counter(keys(loader)) == Counter(KEYS)


@pytest.mark.slow
def test_a_run_in_an_object_store(finished: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames, images and shards, the latter in workers that are forked from a process that has used the store."""
    pytest.importorskip("s3fs", reason="s3fs is not installed (extra s3)")
    moto = pytest.importorskip("moto.server", reason="moto is not installed: no S3 server to test against")
    import fsspec

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    fs = fsspec.filesystem("s3", skip_instance_cache=True)
    fs.clear_instance_cache()  # of clients of a server that an earlier test stopped
    fs.mkdir("bucket")
    for file in Path(finished).rglob("*"):
        if file.is_file():
            fs.pipe_file(f"bucket/run/{file.relative_to(finished).as_posix()}", file.read_bytes())
    here, there = phrasebox.open(finished), phrasebox.open("s3://bucket/run")
    assert there.boxes().equals(here.boxes()) and len(here.boxes())
    assert there.show("000000000003").tobytes() == here.show("000000000003").tobytes()
    expected = [np.asarray(sample["image"]) for sample in here.webdataset()]
    found = {s["__key__"]: s["image"] for s in DataLoader(there.webdataset(), batch_size=None, num_workers=2)}
    assert all(np.array_equal(np.asarray(found[key]), image) for key, image in zip(sorted(KEYS), expected, strict=True))
    fs.clear_instance_cache()
    server.stop()


def test_shards_without_samples_are_named(finished: str, tmp_path: Path) -> None:
    for name in ("config.yaml", "plan.json"):
        (tmp_path / name).write_bytes(Path(finished, name).read_bytes())
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards/0000000-000.tar").touch()
    with pytest.raises(phrasebox.UserError, match="the list of shards is not there yet; run `phrasebox shard --run "):
        phrasebox.open(tmp_path).webdataset()
    (tmp_path / "shards/index.json").write_text('{"shards": []}')
    with pytest.raises(phrasebox.UserError, match="the shards hold no samples"):
        phrasebox.open(tmp_path).webdataset()
