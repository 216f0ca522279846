"""`phrasebox train` on gold as it lies about: how it ends, and its closing lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from tests.pipeline.cli.conftest import Command, Done

Train = Callable[..., Done]


@pytest.fixture
def train(tmp_path: Path, phrasebox: Command) -> Train:
    """Three steps on six images of 64 x 64, with a crowd in one of them."""
    (tmp_path / "images").mkdir()
    for number in range(6):
        Image.new("RGB", (64, 64), "teal").save(tmp_path / "images" / f"{number}.png")
    images = [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 64} for i in range(6)]
    rows: list[dict[str, Any]] = [{"id": i, "image_id": i, "category_id": 1, "bbox": [8, 8, 32, 32]} for i in range(6)]
    rows.append({**rows[0], "id": 6, "iscrowd": 1})
    file = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "cup"}]}
    (tmp_path / "coco.json").write_text(json.dumps(file))

    def call(folder: str) -> Done:
        gold = {"source": str(tmp_path / "coco.json"), "format": "coco", "images": folder}
        settings = {"steps": 3, "batch_size": 2, "scales": [32], "threads": 1, "device": "cpu", "gold": [gold]}
        (tmp_path / "gold.yaml").write_text(yaml.safe_dump({"train": settings}))
        return phrasebox("train", "--config", str(tmp_path / "gold.yaml"), "--run", str(tmp_path / "run"), "--inline")

    return call


def test_images_in_the_wrong_folder_are_exit_code_1_with_the_reason(tmp_path: Path, train: Train) -> None:
    done = train(str(tmp_path / "wrong"))
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "can be used: of 6 that were tried, the first is missing_image: " in said and "Traceback" not in said
    assert not list((tmp_path / "run" / "student").glob("*.safetensors"))


def test_half_of_the_images_unreadable_is_exit_code_1_with_the_count(tmp_path: Path, train: Train) -> None:
    for number in (0, 2, 4):
        (tmp_path / "images" / f"{number}.png").write_bytes(b"no image")
    done = train(str(tmp_path / "images"))
    assert done.returncode == 1
    assert "samples could not be used, more than train.max_skipped (0.01) allows; the first are: not_an_image: " in (
        done.stdout + done.stderr
    )


def test_the_last_words_name_what_was_left_out(tmp_path: Path, train: Train, phrasebox: Command) -> None:
    done = train(str(tmp_path / "images"))
    assert done.returncode == 0
    said = " ".join((done.stdout + done.stderr).split())
    assert f"train not used: 1 boxes of gold 0: {tmp_path}/coco.json (crowd)" in said
    assert "all in order (train 1)" in phrasebox("verify", str(tmp_path / "run")).stdout
