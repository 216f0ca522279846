"""Samples that cannot be used: counted, named, and an end of the training where they are too many."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.storage.files import RunFiles
from pipeline.storage.local import LocalStorage
from schemas.config import Config
from stages.stage import RowError, UserError
from stages.train.gold import NothingToTrainOn
from stages.train.skips import Skips, TooManySkipped, word
from stages.train.stage import open_sets, train
from tests.stages.train.conftest import small_training

CAPTION = "a cup and a dog"


def gold(root: Path, count: int, **more: Any) -> Config:
    """A training on images/0.png, 1.png, ... of which each shows a cup, two in a batch."""
    (root / "images").mkdir()
    for number in range(count):
        Image.new("RGB", (64, 64), "teal").save(root / "images" / f"{number}.png")
    images = [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 64} for i in range(count)]
    rows = [{"id": i, "image_id": i, "category_id": 1, "bbox": [8, 8, 32, 32]} for i in range(count)]
    file = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "cup"}]}
    (root / "coco.json").write_text(json.dumps(file))
    settings = {"steps": 6, "batch_size": 2, "scales": (32,), "checkpoint_every": 3, "pseudo": False, **more}
    return small_training(gold=({"source": "coco.json", "format": "coco", "images": "images"},), **settings)


def run(root: Path, said: list[str] | None = None) -> RunFiles:
    """The run folder; what the training says of its progress goes to `said`."""
    words = [] if said is None else said
    return RunFiles(LocalStorage(str(root)), [], "test", lambda done, total, message: words.append(message))


def entries(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "student" / "metrics.jsonl").read_text().splitlines()]


def test_a_gold_set_none_of_whose_images_can_be_read_trains_nothing(tmp_path: Path) -> None:
    config = gold(tmp_path, 6, steps=3)
    shutil.rmtree(tmp_path / "images")
    with pytest.raises(NothingToTrainOn, match=r"no image of gold 0: coco\.json can be used: of 6 .* missing_image: "):
        train(run(tmp_path), config)
    assert not (tmp_path / "student").exists()


def test_half_of_the_images_unreadable_ends_with_their_count_and_the_first_reasons(tmp_path: Path) -> None:
    config = gold(tmp_path, 6)
    for number in (1, 3, 5):
        (tmp_path / "images" / f"{number}.png").write_bytes(b"no image")
    with pytest.raises(
        TooManySkipped,
        match=r"^2 of \d samples could .*train\.max_skipped \(0\.01\).*: not_an_image: set 0, sample [135], [135]: ",
    ):
        train(run(tmp_path), config)
    assert not (tmp_path / "student" / "weights.safetensors").exists()
    assert not (tmp_path / "student" / "best.safetensors").exists()


def test_a_batch_with_nothing_left_ends_the_training_whatever_the_share(tmp_path: Path) -> None:
    config = gold(tmp_path, 6, max_skipped=1.0)
    for number in range(1, 6):
        (tmp_path / "images" / f"{number}.png").unlink()
    with pytest.raises(
        TooManySkipped, match=r"^step \d: no sample of the batch could be used: missing_image: set 0, sam"
    ):
        train(run(tmp_path), config)


def test_the_share_is_counted_written_and_said(tmp_path: Path) -> None:
    """One of six, once an epoch: two skips in twelve samples, which this training allows."""
    config, said = gold(tmp_path, 6, max_skipped=0.02), list[str]()
    (tmp_path / "images" / "4.png").unlink()
    result = train(run(tmp_path, said), config)
    assert result["samples_skipped"] == 2 and result["unused"] == {"samples (missing_image)": 2}
    assert entries(tmp_path)[-1]["skipped_share"] == pytest.approx(2 / 12)
    assert said[-1].endswith(", 16.67% of the samples skipped")
    assert train(run(tmp_path), config)["unused"] == result["unused"]  # from the checkpoint in the middle on


def test_a_clean_training_says_nothing_of_skips(tmp_path: Path) -> None:
    said: list[str] = []
    result = train(run(tmp_path, said), gold(tmp_path, 6, steps=1))
    assert result["unused"] == {} and "skipped" not in said[-1]
    assert entries(tmp_path)[-1]["skipped_share"] == 0.0


def test_a_stretch_with_too_many_skips_is_not_the_best() -> None:
    skips = Skips(0.01)
    skips.add(["missing_image: set 0, sample 3"] * 3)
    assert not skips.end_stretch(200)
    assert skips.end_stretch(200)  # nothing was skipped since
    skips.add(["missing_image: set 0, sample 3"])
    again = Skips(0.01)
    again.load_state_dict(skips.state_dict())
    assert again.count == 4 and again.first == skips.first and skips.end_stretch(10)
    again.add(["truncated_image: set 0, sample 4"])
    assert again.end_stretch(10)


def test_the_share_is_of_at_least_a_hundred_samples() -> None:
    skips = Skips(0.01)
    skips.add([word("set 0, sample 3", RowError("missing_image", "a.png"))])
    skips.check(1)
    skips.add([word("set 0, sample 5", RowError("missing_image"))])
    with pytest.raises(
        TooManySkipped, match=r"^2 of 199 .*: missing_image: set 0, sample 3, a\.png; missing_image: set 0, s"
    ):
        skips.check(199)
    skips.check(200)


def test_images_of_two_roots_are_told_apart_by_their_data_source(tmp_path: Path) -> None:
    """GoldG's mixed file: COCO's images and Visual Genome's."""
    rows = []
    for number, (source, colour) in enumerate((("coco", "red"), ("vg", "blue"))):
        (tmp_path / source).mkdir()
        Image.new("RGB", (64, 64), colour).save(tmp_path / source / "7.png")
        rows.append({"id": number, "file_name": "7.png", "width": 64, "height": 64, "data_source": source})
    images = [{**row, "caption": CAPTION} for row in rows]
    boxes = [{"image_id": i, "bbox": [8, 8, 32, 32], "tokens_positive": [[2, 5]]} for i in range(2)]
    (tmp_path / "mixed.json").write_text(json.dumps({"images": images, "annotations": boxes}))

    def opened(images: dict[str, str]) -> Any:
        config = small_training(gold=({"source": "mixed.json", "format": "mdetr", "images": images},))
        return next(iter(open_sets(run(tmp_path), config)[0].values()))

    samples = opened({"coco": "coco", "vg": "vg"})
    assert [samples.sample(i).image for i in range(2)] == [
        (tmp_path / x / "7.png").read_bytes() for x in ("coco", "vg")
    ]
    with pytest.raises(UserError, match=r"no folder in `images` for the data_source 'vg' \(images\[1\], id 1\)"):
        opened({"coco": "coco"})
