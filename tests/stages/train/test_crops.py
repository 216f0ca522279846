"""The crops that start a backbone: from images as they come, with their faults."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stages.stage import UserError
from stages.train.annotated import CocoSet
from stages.train.crops import BATCH, SIDE, CropStream, pretrain_backbone
from stages.train.sets import SceneSet
from stages.train.skips import Skips, TooManySkipped
from stages.train.start import start_model
from tests.stages.conftest import DiskIO
from tests.stages.train.conftest import small_training

COLOURS = ("red", "green", "blue")


def coco(root: Path, boxes: list[list[float]], size: tuple[int, int] = (100, 60)) -> CocoSet:
    """An image for every box: 0.png, 1.png, ... of one colour each."""
    for number, _ in enumerate(boxes):
        buffer = io.BytesIO()
        Image.new("RGB", size, COLOURS[number % 3]).save(buffer, "PNG")
        (root / f"{number}.png").write_bytes(buffer.getvalue())
    width, height = size
    images = [{"id": i, "file_name": f"{i}.png", "width": width, "height": height} for i in range(len(boxes))]
    rows = [{"image_id": i, "category_id": i % 2, "bbox": box} for i, box in enumerate(boxes)]
    categories = [{"id": 0, "name": "cup"}, {"id": 1, "name": "dog"}]
    (root / "coco.json").write_text(json.dumps({"images": images, "annotations": rows, "categories": categories}))
    return CocoSet(DiskIO(root), "coco.json", ".")


def one_step(gold: CocoSet) -> float:
    return pretrain_backbone(start_model(small_training())[0], gold, 1, 1e-3, 0, 10**6, lambda step, share: None, 1.0)


def stream(gold: CocoSet, sides: tuple[int, int]) -> CropStream:
    return CropStream(gold, {"cup": 0, "dog": 1}, sides, 0, 10**6, Skips(1.0))


def test_images_that_cannot_be_read_give_no_crops(tmp_path: Path) -> None:
    gold = coco(tmp_path, [[10, 10, 40, 40]] * 4)
    (tmp_path / "0.png").unlink()
    (tmp_path / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n, and no more")
    assert 0 <= one_step(gold) <= 1
    crops = stream(gold, (60, 100)).take(BATCH)
    middles = {(crop.category, *crop.pixels[SIDE // 2, SIDE // 2].tolist()) for crop in crops}
    assert middles == {(1, 0, 128, 0), (0, 0, 0, 255)}  # "green" and "blue"


def test_too_many_images_that_cannot_be_read_end_the_naming_of_crops(tmp_path: Path) -> None:
    gold = coco(tmp_path, [[10, 10, 40, 40]] * 4)
    (tmp_path / "0.png").unlink()
    crops = CropStream(gold, {"cup": 0, "dog": 1}, (60, 100), 0, 10**6, Skips(0.01))
    with pytest.raises(TooManySkipped, match=r"^2 of \d samples .*: missing_image: sample 0, \./0\.png; "):
        crops.take(BATCH)


def test_boxes_that_reach_past_their_image_are_cut_and_those_outside_dropped(tmp_path: Path) -> None:
    """Uncut, the first box has its centre 90 pixels right of the image; cut, its centre is at (90, 50)."""
    gold = coco(tmp_path, [[80, 40, 220, 220], [120, 10, 30, 30]])
    assert 0 <= one_step(gold) <= 1
    crops = stream(gold, (60, 100)).take(BATCH)
    assert {crop.category for crop in crops} == {0}
    for crop in crops:
        assert crop.pixels.shape == (SIDE, SIDE, 3)
        red = crop.pixels[..., 0] == 255
        across, down = np.flatnonzero(red.any(axis=0)), np.flatnonzero(red.any(axis=1))
        inside = min(across[0], SIDE - 1 - across[-1])  # mirrored or not, the image begins at the crop's edge
        assert inside == 0 and abs(len(across) - (SIDE / 2 + 10)) <= 9 and abs(len(down) - (SIDE / 2 + 10)) <= 9


def test_a_image_thousands_of_times_wider_than_high_gives_crops_of_the_right_size(tmp_path: Path) -> None:
    crops = stream(coco(tmp_path, [[3990, 0, 10, 2]], (4000, 2)), (10, 20)).take(4)
    assert {crop.pixels.shape for crop in crops} == {(SIDE, SIDE, 3)}


@pytest.mark.parametrize(
    ("box", "missing", "words"),
    [
        ([10, 10, 40, 40], True, r"; the first error was missing_image: sample \d, \./\d\.png"),
        ([200, 10, 40, 40], False, ""),
    ],
)
def test_a_gold_set_that_gives_no_crop_is_one_clear_line(
    tmp_path: Path, box: list[float], missing: bool, words: str
) -> None:
    gold = coco(tmp_path, [box] * 3)
    if missing:
        for path in tmp_path.glob("*.png"):
            path.unlink()
    with pytest.raises(UserError, match=f"^train.crop_steps: no gold image can be read and shows an object{words}$"):
        one_step(gold)


def test_one_good_image_among_many_bad_ones_is_found_in_every_epoch(tmp_path: Path) -> None:
    gold = coco(tmp_path, [[10, 10, 40, 40]] * 9)
    for number in range(8):
        (tmp_path / f"{number}.png").unlink()
    assert {crop.category for crop in stream(gold, (60, 100)).take(BATCH)} == {0}


def test_crops_train_the_backbone_and_nothing_else() -> None:
    gold = SceneSet("gold", 3, 20)
    glip = start_model(small_training())[0]
    before = {name: value.clone() for name, value in glip.state_dict().items()}
    seen: list[int] = []
    torch.manual_seed(123)  # whatever was drawn before
    right = pretrain_backbone(glip, gold, 2, 1e-3, 0, 10**7, lambda step, share: seen.append(step), 1.0)
    moved = {name.split(".")[0] for name, value in glip.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"backbone"} and 0 <= right <= 1 and seen == []
    again = start_model(small_training())[0]
    assert pretrain_backbone(again, gold, 2, 1e-3, 0, 10**7, lambda step, share: None, 1.0) == right
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in glip.state_dict().items())
