"""What a training reads: its sets, and the batches that are made of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from schemas.config import GoldSet
from stages.stage import UserError
from stages.train.gold import NothingToTrainOn, open_gold
from stages.train.loader import prefetch
from stages.train.shards import ShardSet
from stages.train.stage import TrainStage, make_batches, open_sets, train, with_steps
from stages.train.wording import singular
from tests.stages.train.conftest import GOLD, RunDisk, small_training


def test_what_few_samples_show_comes_more_often_and_the_mixture_stays(sharded: Path) -> None:
    gold = ({**GOLD[0], "count": 48},)
    draws: dict[float, Counter[tuple[int, int]]] = {}
    for below in (0.0, 1.0):
        config = small_training(gold=gold, repeat_below=below)
        sets, maker = make_batches(RunDisk(sharded), config)
        assert [len(samples) for samples in sets.values()] == [16, 48]
        steps = 16 * 64 // config.train.batch_size  # sixteen epochs
        draws[below] = Counter((draw.set, draw.index) for step in range(steps) for draw in maker.order.batch(step))
    assert set(draws[0.0].values()) == {16}
    for number, samples in enumerate(sets.values()):
        total = [sum(count for (which, _), count in each.items() if which == number) for each in draws.values()]
        assert total[0] == total[1]  # as much of each set as without
        names = [samples.names(index) for index in range(len(samples))]
        shown = Counter(name for each in names for name in each)
        rarest = [min((shown[name] for name in each), default=len(samples)) for each in names]
        factors = np.sqrt(len(samples) / np.asarray(rarest))
        drawn = [draws[1.0][number, index] for index in range(len(samples))]
        np.testing.assert_allclose(drawn, total[0] * factors / factors.sum(), atol=np.ceil(factors.max()))


def calls(name: str, phrase: str) -> bool:
    return f" {phrase}".endswith(f" {name}") or name == singular(phrase.split()[-1].lower())


def test_pseudo_samples_are_asked_for_lists_with_phrases_of_their_shard(sharded: Path) -> None:
    _, captions = make_batches(RunDisk(sharded), small_training(flip=0.0))
    _, lists = make_batches(RunDisk(sharded), small_training(flip=0.0, phrase_prompts=1.0))
    shards = ShardSet(RunDisk(sharded))
    texts = [text for index in range(16) for texts in shards.phrases_near(index).values() for text in texts]
    pairs = list(zip(captions.make(0).examples, lists.make(0).examples, strict=True))
    assert len(pairs) == 4
    for caption, prompt in pairs:
        names = prompt.caption.split(". ")
        own = [caption.caption[start:end] for ((start, end),) in caption.spans]
        grounded = [own[phrase] for phrase in caption.phrase]
        asked = [names[phrase] for phrase in prompt.phrase]  # the last words of its phrases, or their nouns alone
        assert all(calls(name, whole) for name, whole in zip(asked, grounded, strict=True))
        assert all(any(calls(name, text) for text in texts) for name in names)
        assert len(names) > len(set(grounded))
        np.testing.assert_array_equal(prompt.boxes, caption.boxes)


def test_each_step_draws_a_scale_and_boxes_follow(sharded: Path) -> None:
    _, maker = make_batches(RunDisk(sharded), small_training(scales=(96, 128), flip=0.0))
    shards, seen = ShardSet(RunDisk(sharded)), set()
    stored = {sample.key: sample for sample in map(shards.sample, range(16))}
    for step in range(8):
        batch = maker.make(step)
        (short,) = {min(example.image.shape[:2]) for example in batch.examples}
        seen.add(short)
        for example in batch.examples:
            ratio = short / 224  # scenes have a short side of 224
            np.testing.assert_allclose(example.boxes, stored[example.key].boxes * ratio, rtol=0.01)
        assert all(side % 32 == 0 for side in batch.pad_to) and batch.pad_to[0] >= short
    assert seen == {96, 128}


def test_at_the_published_scales_the_long_side_has_one_limit(sharded: Path) -> None:
    shards = ShardSet(RunDisk(sharded))
    shapes = {shards.sample(index).key: shards.shape(index) for index in range(16)}
    _, maker = make_batches(RunDisk(sharded), small_training(scales=(96, 160), long=170, flip=0.0))
    seen = set()
    for step in range(8):
        for example in maker.make(step).examples:
            (short, long), (low, high) = sorted(shapes[example.key]), sorted(example.image.shape[:2])
            scale = 96 if low <= 96 else 160
            limited = scale * long / short > 170
            assert abs(high - (170 if limited else scale * long / short)) <= 1
            seen.add((scale, limited))
    assert seen >= {(96, False), (160, True)}


@pytest.mark.parametrize(("epochs", "steps"), [(3.0, 16), (0.5, 2), (0.01, 1)])
def test_epochs_are_passes_over_the_mixture_whose_last_uneven_batch_is_dropped(
    sharded: Path, epochs: float, steps: int
) -> None:
    gold = ({**GOLD[0], "weight": 1.0},)  # 16 of shards and 6 of gold, in batches of 4
    config = small_training(gold=gold, epochs=epochs, steps=999)
    _, maker = make_batches(RunDisk(sharded), config)
    assert with_steps(config, maker).train.steps == steps
    assert with_steps(small_training(gold=gold, steps=999), maker).train.steps == 999


def test_a_contrast_is_not_made_of_pieces() -> None:
    with pytest.raises(UserError, match=r"^train\.contrastive .* needs train\.accumulate: 1$"):
        TrainStage.resolve(small_training(contrastive=0.1, accumulate=2))


def test_a_training_of_some_epochs_ends_after_them(sharded: Path) -> None:
    result = train(RunDisk(sharded), small_training(epochs=0.5, steps=999))
    assert (result["steps"], result["samples_seen"]) == (2, 8)


@pytest.mark.parametrize("loaders", [1, 3])
def test_batches_do_not_depend_on_the_threads_that_make_them(sharded: Path, loaders: int) -> None:
    _, alone = make_batches(RunDisk(sharded), small_training(gold=GOLD, negative_captions=0.5))
    expected = [alone.make(step) for step in range(8)]
    assert [len(batch.examples) for batch in expected] == [4] * 8
    _, maker = make_batches(RunDisk(sharded), small_training(gold=GOLD, negative_captions=0.5))
    for batch, own in zip(prefetch(maker.make, 0, 8, loaders), expected, strict=True):
        assert (batch.step, batch.pad_to) == (own.step, own.pad_to)
        for example, same in zip(batch.examples, own.examples, strict=True):
            assert (example.key, example.caption, example.spans) == (same.key, same.caption, same.spans)
            np.testing.assert_array_equal(example.image, same.image)
            np.testing.assert_array_equal(example.boxes, same.boxes)


def test_nothing_to_train_on_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "index.json").write_text('{"shards": []}')
    with pytest.raises(NothingToTrainOn, match="nothing to train on"):
        train(RunDisk(tmp_path), small_training())


def test_training_computes_without_tf32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with pytest.raises(NothingToTrainOn):  # the first thing that it does
        train(RunDisk(tmp_path), small_training())
    assert not torch.backends.cudnn.allow_tf32


def test_a_damaged_image_is_skipped_and_counted(sharded: Path) -> None:
    shard = sharded / "shards" / "0000000-000.tar"
    data = bytearray(shard.read_bytes())
    data[512 : 512 + 64] = bytes(64)  # the first image's JPEG header
    shard.write_bytes(data)
    sets, _, _ = open_sets(RunDisk(sharded), small_training())
    _, maker = make_batches(RunDisk(sharded), small_training())
    skipped = [name for step in range(8) for name, _ in maker.make(step).skipped]  # two epochs
    assert len(sets["pseudo"]) == 16 and skipped == ["set 0, sample 0"] * 2


@pytest.mark.parametrize(
    ("gold", "words"),
    [
        ({"source": "nowhere"}, "nowhere: no shards here"),
        ({"source": "x.json"}, "say whether x.json is `format: coco` or `format: mdetr`"),
        ({"source": "x.json", "format": "coco"}, "x.json needs `images`"),
        ({"source": "scenes"}, "scenes have no end"),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path: Path, gold: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_gold(RunDisk(tmp_path), GoldSet(**gold))
