"""GLIGEN's TSV, by a model of its loader: lines by their index, images and embeddings from base64, boxes as xywh."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.stage import UserError
from tests.similarity_models import save_checkpoint
from tests.stages.export.exported import Exported
from tests.stages.export.odd_run import CAPTIONS, odd_run, store_images
from tests.stages.export.readers import Reading
from tests.stages.export.test_readers import wrong_pixels


@pytest.fixture
def run(tmp_path: Path) -> Any:
    run = odd_run(tmp_path / "odd")
    store_images(run)
    return run


def gligen(folder: Path) -> list[dict[str, Any]]:
    """The items of the file, in the order of its index."""
    places = [int(line) for line in (folder / "train.lineidx").read_text().split()]
    items = []
    with open(folder / "train.tsv", encoding="utf-8") as file:
        for place in places:
            file.seek(place)
            _, item = [column.strip() for column in file.readline().split("\t")]
            items.append(json.loads(item))
            items[-1]["image"] = Image.open(io.BytesIO(base64.b64decode(items[-1]["image"]))).convert("RGB")
    return items


def test_boxes_and_phrases_are_there_without_a_clip(exported: Callable[..., Exported], run: Any) -> None:
    items = gligen(exported("gligen").folder)
    assert [item["data_id"] for item in items] == list(range(len(CAPTIONS)))
    for item, (_, caption), pair in zip(items, CAPTIONS, run.rows["pairs"], strict=True):
        assert (item["caption"], item["source_id"], item["license"]) == (caption, pair["source_id"], pair["license"])
        boxes = []
        for anno in item["annos"]:
            x, y, width, height = anno["bbox"]
            [[start, end]] = anno["tokens_positive"]
            assert caption[start:end] == anno["category_name"] and "text_embedding_before" not in anno
            boxes.append(((x, y, x + width, y + height), anno["category_name"]))
        assert wrong_pixels(Reading(np.asarray(item["image"]), caption, boxes)) == []
    numbers = [anno["id"] for item in items for anno in item["annos"]]
    assert numbers == list(range(14))


def test_embeddings_are_clips(exported: Callable[..., Exported], tmp_path: Path) -> None:
    from model.similarity.towers import Towers

    folder = save_checkpoint("clip", tmp_path / "clip")
    items = gligen(exported("gligen", weights=str(folder)).folder)
    clip, item = Towers(str(folder)), items[2]
    decoded = [
        {
            name: np.frombuffer(base64.b64decode(value), dtype="float32")
            for name, value in anno.items()
            if "embedding" in name
        }
        for anno in item["annos"]
    ]
    assert len(decoded) == 3
    for anno, found in zip(item["annos"], decoded):
        x, y, width, height = anno["bbox"]
        text = clip.of_texts([anno["category_name"]])
        crop = clip.of_crops(np.asarray(item["image"]), [(x, y, x + width, y + height)])
        np.testing.assert_allclose(found["text_embedding_before"], text.before[0], atol=1e-4)
        np.testing.assert_allclose(found["text_embedding_after"], text.after[0], atol=1e-5)
        np.testing.assert_allclose(found["image_embedding_before"], crop.before[0], atol=1e-4)
        np.testing.assert_allclose(found["image_embedding_after"], crop.after[0], atol=1e-5)
        assert np.linalg.norm(found["image_embedding_after"]) == pytest.approx(1, abs=1e-5)


def test_a_folder_without_a_clip_is_an_error(exported: Callable[..., Exported], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"^--weights .*empty: no config\.json in it"):
        exported("gligen", weights=str(tmp_path / "empty"))
