"""Batches out of every kind of gold set, through `make_batches`: texts, boxes, flips, weights, negative captions."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from PIL import Image

from stages.stage import ImageRef, RowError
from stages.synthetic import draw_scene
from stages.train import shards
from stages.train.loader import Batch, prefetch
from stages.train.samples import Example
from stages.train.stage import make_batches
from tests.stages.conftest import Run
from tests.stages.train.conftest import RunDisk, RunFolder, small_training

WIDTH, HEIGHT = 256, 192  # the size at which glip-nano sees an image, so that boxes stay as they are


WINDOW = 8  # steps, as in stages/train/order.py: after them, every sample has come as often as it should


CAPTIONS = ("a cup on the left", "two dogs", "an old car", "a red kite")


class CountingDisk(RunDisk):
    """A run whose files are counted as they are opened."""

    opened = 0

    def open_source(self, path: str) -> BinaryIO:  # type: ignore[override]
        self.opened += 1
        return super().open(path)


@pytest.fixture
def images_made(tmp_path: Path) -> Path:
    """images/0.png to 3.png, each of its own noise."""
    (tmp_path / "images").mkdir()
    for number in range(4):
        Image.fromarray(noise(number)).save(tmp_path / "images" / f"{number}.png")
    return tmp_path


def noise(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def write(root: Path, annotations: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A JSON of the four images with their captions and these annotations; the entry of `train.gold` for it."""
    images = [
        {"id": 10 + i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT, "caption": caption}
        for i, caption in enumerate(CAPTIONS)
    ]
    (root / "gold.json").write_text(json.dumps({"images": images, "annotations": annotations, **more}))
    return {"source": "gold.json", "images": "images"}


def mdetr(root: Path) -> dict[str, Any]:
    """One box for the whole of each caption; a second one for the first word of the first."""
    rows = [
        {"image_id": 10 + i, "bbox": [10 * i, 20, 30, 40], "tokens_positive": [[0, len(caption)]]}
        for i, caption in enumerate(CAPTIONS)
    ]
    rows.append({"image_id": 10, "bbox": [200, 100, 100, 50], "tokens_positive": [[0, 1], [2, 5]]})
    return write(root, rows) | {"format": "mdetr"}


def coco(root: Path) -> dict[str, Any]:
    names = ["hot_dog", "cup", "bow_(weapon)"]
    rows = [{"image_id": 10 + i, "category_id": i % 3, "bbox": [10 * i, 20, 30, 40]} for i in range(4)]
    rows.append({"image_id": 10, "category_id": 2, "bbox": [200, 100, 100, 50]})
    return write(root, rows, categories=[{"id": i, "name": name} for i, name in enumerate(names)]) | {"format": "coco"}


def batches(io: Any, steps: int, **settings: Any) -> list[Batch]:
    _, maker = make_batches(io, small_training(**{"flip": 0.0, **settings}))
    return [maker.make(step) for step in range(steps)]


def examples(io: Any, steps: int, **settings: Any) -> dict[str, Example]:
    """By key; of a sample that comes again, the last."""
    return {example.key: example for batch in batches(io, steps, **settings) for example in batch.examples}


def asked(example: Example) -> list[tuple[str, list[float]]]:
    """(text of the phrase, box) of every box."""
    texts = [" ".join(example.caption[start:end] for start, end in spans) for spans in example.spans]
    return [(texts[at], box) for at, box in zip(example.phrase.tolist(), example.boxes.tolist(), strict=True)]


def test_coco_instances_become_detection_prompts(images_made: Path) -> None:
    found = examples(RunFolder(images_made), WINDOW, gold=[coco(images_made)], pseudo=False)
    assert sorted(found) == ["10", "11", "12", "13"]
    assert sorted(asked(found["10"])) == [("bow ", [200, 100, 256, 150]), ("hot dog", [0, 20, 30, 60])]
    for number, name in ((1, "cup"), (2, "bow "), (3, "hot dog")):
        example = found[str(10 + number)]
        assert asked(example) == [(name, [10 * number, 20, 10 * number + 30, 60])]
        np.testing.assert_array_equal(example.image, noise(number))
    for example in found.values():
        names = example.caption.split(". ")
        assert set(names) <= {"hot dog", "cup", "bow "} and len(set(names)) == len(names) and not example.pseudo


def test_grounding_json_becomes_captions_with_their_spans(images_made: Path) -> None:
    found = examples(RunFolder(images_made), WINDOW, gold=[mdetr(images_made)], pseudo=False)
    assert {key: example.caption for key, example in found.items()} == dict(
        zip(("10", "11", "12", "13"), CAPTIONS, strict=True)
    )
    assert asked(found["10"]) == [(CAPTIONS[0], [0, 20, 30, 60]), ("a cup", [200, 100, 256, 150])]
    assert asked(found["13"]) == [(CAPTIONS[3], [30, 20, 60, 60])]
    np.testing.assert_array_equal(found["13"].image, noise(3))


def test_the_gold_of_a_run_becomes_captions_or_detection_prompts(run: Run) -> None:
    pairs = run.ingest(source="scenes", count=6, seed=4)
    plain, prompts = (
        examples(RunFolder(run.root), WINDOW, batch_size=3, gold=[{"source": "run", "detection": share}], pseudo=False)
        for share in (0.0, 1.0)
    )
    assert sorted(plain) == sorted(prompts) == [pair["key"] for pair in pairs]
    for index, pair in enumerate(pairs):
        scene = draw_scene("web", 4, index)
        caption, prompt = plain[pair["key"]], prompts[pair["key"]]
        height, width = caption.image.shape[:2]
        ratio = np.array([width / scene.width, height / scene.height] * 2)
        assert caption.caption == scene.caption
        boxes = [box.corners for box in scene.boxes]
        assert_asked(caption, [scene.caption[slice(*scene.spans[box.span])] for box in scene.boxes], boxes, ratio)
        assert_asked(prompt, [box.category for box in scene.boxes], boxes, ratio)  # what is not mentioned is not there


def assert_asked(example: Example, texts: list[str], boxes: list[Any], ratio: Any) -> None:
    """The boxes of these texts, in any order."""
    expected = sorted(zip(texts, (np.array(boxes).reshape(-1, 4) * ratio).tolist(), strict=True))
    found = sorted(asked(example))
    assert [text for text, _ in found] == [text for text, _ in expected]
    np.testing.assert_allclose([box for _, box in found], [box for _, box in expected], atol=1e-3)


def test_every_image_is_flipped_where_flip_is_one(images_made: Path) -> None:
    gold = [mdetr(images_made)]
    plain, flipped = (
        examples(RunFolder(images_made), WINDOW, gold=gold, pseudo=False, flip=flip) for flip in (0.0, 1.0)
    )
    for key, example in plain.items():
        mirrored = flipped[key]
        np.testing.assert_array_equal(mirrored.image, example.image[:, ::-1])
        np.testing.assert_array_equal(mirrored.boxes[:, [0, 2]], WIDTH - example.boxes[:, [2, 0]])
        np.testing.assert_array_equal(mirrored.boxes[:, [1, 3]], example.boxes[:, [1, 3]])
        assert mirrored.caption == example.caption.replace("left", "right")
    assert asked(flipped["10"])[0][0] == "a cup on the right"


def test_a_set_of_weight_two_comes_twice_for_each_time_that_another_comes(sharded: Path, images_made: Path) -> None:
    gold = [mdetr(images_made) | {"weight": 2.0}, {"source": "scenes", "count": 8, "weight": 0.5}]
    opened, maker = make_batches(RunFolder(images_made), small_training(gold=gold))
    assert [len(samples) for samples in opened.values()] == [16, 4, 8]
    once = 16 + 2 * 4 + 8 // 2  # an epoch of the mixture: 28 draws
    drawn = Counter((draw.set, draw.index) for step in range(7 * WINDOW) for draw in maker.order.batch(step))
    assert drawn.total() == 7 * WINDOW * 4 == 8 * once
    counts = [{count for (which, _), count in drawn.items() if which == number} for number in range(3)]
    assert counts == [{8}, {16}, {4}]


def test_a_missing_image_costs_no_other_sample_its_negative_captions(images_made: Path) -> None:
    gold = [mdetr(images_made)]
    (images_made / "images" / "2.png").unlink()
    made = batches(RunFolder(images_made), WINDOW, gold=gold, pseudo=False, negative_captions=1.0)
    assert Counter(example.key for batch in made for example in batch.examples) == {"10": 8, "11": 8, "13": 8}
    skipped = Counter((place, str(error)) for batch in made for place, error in batch.skipped)
    assert skipped == {("set 0, sample 2", "missing_image: images/2.png"): 8}
    packed: set[str] = set()
    for example in (example for batch in made for example in batch.examples):
        own = CAPTIONS[int(example.key) - 10]
        assert example.caption.count(own) == 1 and asked(example)[0][0] == own
        packed |= {text for text in CAPTIONS if text != own and text in example.caption}
    assert packed == set(CAPTIONS)  # also that of the image which is not there


def test_negative_captions_open_no_shard_of_their_own(sharded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "OPEN_SHARDS", 2)
    opened, texts = [], []
    for share in (0.0, 1.0):
        disk = CountingDisk(sharded)
        made = batches(disk, WINDOW, negative_captions=share)
        opened.append(disk.opened)
        texts.append([example.caption for batch in made for example in batch.examples])
    assert opened[0] == opened[1]
    more = sum(len(packed) > len(plain) + 1 for plain, packed in zip(*texts, strict=True))
    assert more > len(texts[0]) / 2


def test_a_caption_with_substituted_words_is_not_packed_beside_itself(images_made: Path) -> None:
    """Under its own words it would be a negative of an image that it describes."""
    made = batches(
        RunFolder(images_made),
        WINDOW,
        gold=[mdetr(images_made)],
        pseudo=False,
        negative_captions=1.0,
        word_substitution=1.0,
    )
    captions = [(CAPTIONS[int(example.key) - 10], example.caption) for batch in made for example in batch.examples]
    assert len(captions) == WINDOW * 4
    assert [own for own, packed in captions if own in packed] == []


class MeetingFolder(RunFolder):
    """A run whose images are given out only while two threads ask for one."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.both = threading.Barrier(2, timeout=120)

    def image_bytes(self, refs: Sequence[ImageRef]) -> Iterator[bytes | RowError]:
        self.both.wait()
        return super().image_bytes(refs)


def test_threads_read_at_the_same_time(images_made: Path) -> None:
    """With a lock around reading, the first thread would wait for ever."""
    gold = [mdetr(images_made)]
    _, maker = make_batches(MeetingFolder(images_made), small_training(gold=gold, pseudo=False, scales=(32,)))
    read = list(prefetch(maker.make, 0, 4, 2))
    alone = batches(RunFolder(images_made), 4, gold=gold, pseudo=False, scales=(32,))
    found, expected = ([[example.key for example in batch.examples] for batch in own] for own in (read, alone))
    assert found == expected and len(found[0]) == 4
