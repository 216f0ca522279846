"""Training: what it reads, that it resumes exactly, that two workers do as one, and that it learns."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as multiprocessing
import webdataset
from safetensors.torch import load_file
from torch.multiprocessing.spawn import ProcessExitedException

from model.glip import Glip, known_tokens
from stages.train.crops import pretrain_backbone
from stages.train.loader import Batch, prefetch
from stages.train.loop import NonFiniteLoss, Student, loss_target
from stages.train.ranks import Ranks
from stages.train.samples import Example
from stages.train.sets import SceneSet
from stages.train.shards import ShardSet
from stages.train.stage import WEIGHTS, NothingToTrainOn, make_batches, open_sets, start_model, train
from stages.train.wording import singular
from tests.stages.train.conftest import RunDisk, small_training

GOLD = ({"source": "scenes", "split": "gold", "count": 6, "seed": 1, "detection": 0.5},)


def test_shards_are_read_as_webdataset_reads_them(sharded: Path) -> None:
    ours = ShardSet(RunDisk(sharded))
    urls = [str(path) for path in sorted((sharded / "shards").glob("*.tar"))]
    theirs = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert len(ours) == len(theirs) == 16
    for index, expected in enumerate(theirs):
        sample, record = ours.sample(index), json.loads(expected["json"])
        assert sample.image == expected["jpg"] and sample.caption == record["caption"] and sample.pseudo
        assert sample.boxes.tolist() == [box["bbox"] for box in record["boxes"]]
        assert ours.shape(index) == (record["height"], record["width"])


def test_boxes_under_the_load_threshold_are_left_out_with_their_phrases(sharded: Path) -> None:
    everything, strict = ShardSet(RunDisk(sharded)), ShardSet(RunDisk(sharded), min_score=0.65)
    for index in range(len(everything)):
        whole, kept = everything.sample(index), strict.sample(index)
        mask = whole.scores >= 0.65
        np.testing.assert_array_equal(kept.boxes, whole.boxes[mask])
        np.testing.assert_array_equal(kept.phrase, whole.phrase[mask])


def test_shards_say_what_they_show_by_the_nouns_of_phrases_with_boxes(sharded: Path) -> None:
    for min_score in (0.0, 0.65):
        shards = ShardSet(RunDisk(sharded), min_score=min_score)
        for index in range(len(shards)):
            sample = shards.sample(index)
            texts = [sample.caption[start:end] for i in set(sample.phrase.tolist()) for start, end in sample.spans[i]]
            assert shards.names(index) == {singular(text.split()[-1].lower()) for text in texts}


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


@pytest.mark.parametrize("precision", ["fp32", pytest.param("fp16", marks=pytest.mark.slow)])
def test_resuming_gives_the_weights_of_an_undisturbed_training(sharded: Path, precision: str) -> None:
    config = small_training(gold=GOLD, precision=precision, crop_steps=1)  # fp16: the scale of the loss goes on, too
    undisturbed = train(RunDisk(sharded), config)
    whole = load_file(sharded / WEIGHTS)
    for path in (sharded / "student").iterdir():
        path.unlink()
    with pytest.raises(KeyboardInterrupt):  # dies with step 2 saved and steps 3 and 4 done
        train(RunDisk(sharded, fail_before=WEIGHTS), config)
    assert {path.name for path in (sharded / "student").glob("checkpoint*")} == {"checkpoint-00000002.pt"}
    assert train(RunDisk(sharded), config) == undisturbed and undisturbed["crops_named_right"] is not None
    resumed = load_file(sharded / WEIGHTS)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    metrics = [json.loads(line) for line in (sharded / "student" / "metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in metrics] == [1, 2, 3, 4]


def mortal_worker(rank: int, root: Path, port: int, dies: bool) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    try:
        train(RunDisk(root, fail_before=WEIGHTS if dies else None), small_training(gold=GOLD), rank, 2)
    except KeyboardInterrupt:
        os._exit(3)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_go_on_from_their_checkpoint_as_if_undisturbed(sharded: Path) -> None:
    multiprocessing.spawn(mortal_worker, (sharded, free_port(), False), nprocs=2)
    whole = load_file(sharded / WEIGHTS)
    for path in (sharded / "student").iterdir():
        path.unlink()
    with pytest.raises(ProcessExitedException):
        multiprocessing.spawn(mortal_worker, (sharded, free_port(), True), nprocs=2)
    assert {path.name for path in (sharded / "student").glob("checkpoint*")} == {"checkpoint-00000002.pt"}
    multiprocessing.spawn(mortal_worker, (sharded, free_port(), False), nprocs=2)
    resumed = load_file(sharded / WEIGHTS)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def worker(rank: int, root: Path, port: int) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    train(RunDisk(root), small_training(steps=2, flip=0.0, gold=SAME_SHAPE, pseudo=False), rank, 2)
    torch.distributed.destroy_process_group()


SAME_SHAPE = tuple(  # four images of 224 x 224 with 6, 5, 3 and 4 objects: padding is the same whoever holds them
    {"source": "scenes", "split": "gold", "count": 1, "seed": seed} for seed in (6, 9, 20, 32)
)


@pytest.mark.slow
def test_two_workers_do_as_one_with_the_same_global_batch(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for root in (one, two):
        root.mkdir()
    train(RunDisk(one), small_training(steps=2, flip=0.0, gold=SAME_SHAPE, pseudo=False))
    multiprocessing.spawn(worker, (two, free_port()), nprocs=2)
    first, second = load_file(one / WEIGHTS), load_file(two / WEIGHTS)
    start = start_model(small_training()).state_dict()
    moved = sum(float((first[name] - start[name]).square().sum()) for name in first) ** 0.5
    apart = sum(float((first[name] - second[name]).square().sum()) for name in first) ** 0.5
    assert apart < 0.01 * moved  # AdamW makes a step of a gradient's rounding error, so single weights may differ
    assert moved > 0


def worker_with_a_bad_loss(rank: int, root: Path, port: int) -> None:
    """The second rank's loss is not a number; each rank writes down what it says."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    if rank == 1:
        whole = Glip.losses
        Glip.losses = lambda *a, **k: {name: loss * float("nan") for name, loss in whole(*a, **k).items()}  # type: ignore
    try:
        train(RunDisk(root), small_training(steps=2), rank, 2)
    except NonFiniteLoss as error:
        (root / f"said-{rank}").write_text(str(error))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_every_rank_names_the_samples_of_the_one_whose_loss_is_no_number(sharded: Path) -> None:
    _, maker = make_batches(RunDisk(sharded), small_training(steps=2))
    keys = ", ".join(example.key for example in maker.make(0, rank=1, world=2).examples)
    multiprocessing.spawn(worker_with_a_bad_loss, (sharded, free_port()), nprocs=2)
    said = f"step 0: the loss is nan; samples of the batch: {keys}"
    assert [(sharded / f"said-{rank}").read_text() for rank in (0, 1)] == [said, said]


def test_a_share_without_samples_adds_nothing_to_the_gradient(sharded: Path) -> None:
    """A rank whose images are all damaged, or that has none, takes part in the step and changes nothing."""
    _, maker = make_batches(RunDisk(sharded), small_training())
    student = Student(start_model(small_training()), small_training(contrastive=1.0).train)
    counts: list[torch.Tensor] = []

    def seen(value: torch.Tensor) -> torch.Tensor:
        counts.append(value)
        return value

    losses = student(replace(maker.make(0), examples=[]), seen)
    torch.stack(list(losses.values())).sum().backward()
    assert all(loss.item() == 0 for loss in losses.values()) and "loss_contrastive" in losses
    assert not any(value.any() for value in counts)  # nor to what losses are divided by
    assert all(x.grad is not None and not x.grad.any() for x in student.parameters() if x.requires_grad)


def test_options_for_pseudo_boxes_reach_the_losses(sharded: Path) -> None:
    """No regression: nothing but that term goes. Weights by score: gold is not touched, pseudo boxes count less."""
    plain = small_training(flip=0.0)
    _, maker = make_batches(RunDisk(sharded), plain)
    batch, glip = maker.make(0), start_model(plain).eval()
    gold = replace(batch, examples=[replace(example, pseudo=False) for example in batch.examples])

    def losses(own: Batch, **changes: object) -> dict[str, float]:
        student = Student(glip, small_training(**changes).train)
        return {name: value.item() for name, value in student(own, Ranks().average).items()}

    base = losses(batch)
    assert losses(batch, pseudo_regression=False) == {**base, "loss_reg": 0.0}
    assert losses(gold, pseudo_regression=False, score_weighting=True) == base
    weighted = losses(batch, score_weighting=True)  # scores are 0.5 to 0.9
    assert 0.5 * base["loss_centerness"] < weighted["loss_centerness"] < 0.9 * base["loss_centerness"]
    assert 0.5 * base["loss_reg"] < weighted["loss_reg"] < 0.9 * base["loss_reg"]


def test_a_phrase_without_a_pseudo_box_may_teach_nothing(sharded: Path) -> None:
    """Its tokens leave the alignment loss, and nothing else changes; without such a phrase, or with gold, nothing."""
    plain = small_training(flip=0.0)
    _, maker = make_batches(RunDisk(sharded), plain)
    batch, glip = maker.make(0), start_model(plain).eval()

    def losses(examples: list[Example], ungrounded: str) -> dict[str, float]:
        student = Student(glip, small_training(ungrounded=ungrounded).train)
        own = replace(batch, examples=examples)
        return {name: value.item() for name, value in student(own, Ranks().average).items()}

    unboxed = next(x for x in batch.examples if len(set(x.phrase.tolist())) < len(x.spans))
    ((start, end),) = unboxed.spans[min(set(range(len(unboxed.spans))) - set(unboxed.phrase.tolist()))]
    assert unboxed.caption[start:end]
    absent, unknown = losses([unboxed], "absent"), losses([unboxed], "unknown")
    assert unknown["loss_dot_product_token"] < absent["loss_dot_product_token"]
    assert {**unknown, "loss_dot_product_token": 0.0} == {**absent, "loss_dot_product_token": 0.0}
    gold = replace(unboxed, pseudo=False)
    assert losses([gold], "unknown") == losses([gold], "absent") == absent
    boxed = next(x for x in batch.examples if set(x.phrase.tolist()) == set(range(len(x.spans))))
    assert losses([boxed], "unknown") == losses([boxed], "absent")


def calls(name: str, phrase: str) -> bool:
    return f" {phrase}".endswith(f" {name}") or name == singular(phrase.split()[-1].lower())


def test_pseudo_samples_are_asked_for_lists_with_phrases_of_their_shard(sharded: Path) -> None:
    _, captions = make_batches(RunDisk(sharded), small_training(flip=0.0))
    _, lists = make_batches(RunDisk(sharded), small_training(flip=0.0, phrase_prompts=1.0))
    shards = ShardSet(RunDisk(sharded))
    texts = [text for index in range(16) for texts in shards.phrases_near(index).values() for text in texts]
    for caption, prompt in zip(captions.make(0).examples, lists.make(0).examples, strict=True):
        names = prompt.caption.split(". ")
        own = [caption.caption[start:end] for ((start, end),) in caption.spans]
        grounded = [own[phrase] for phrase in caption.phrase]
        asked = [names[phrase] for phrase in prompt.phrase]  # the last words of its phrases, or their nouns alone
        assert all(calls(name, whole) for name, whole in zip(asked, grounded, strict=True))
        assert all(any(calls(name, text) for text in texts) for name in names)
        assert len(names) > len(set(grounded))
        np.testing.assert_array_equal(prompt.boxes, caption.boxes)


def test_names_of_others_in_a_list_are_negatives_and_not_unknown(sharded: Path) -> None:
    """What the teacher did not find is not in the list at all, so whatever has no box there is not in the image."""
    losses = []
    for ungrounded in ("absent", "unknown"):
        config = small_training(flip=0.0, phrase_prompts=1.0, ungrounded=ungrounded)
        _, maker = make_batches(RunDisk(sharded), config)
        batch = maker.make(0)
        assert all(len(example.spans) > len(set(example.phrase.tolist())) for example in batch.examples)
        assert all("unknown" not in loss_target(example, config.train) for example in batch.examples)
        student = Student(start_model(config).eval(), config.train)
        losses.append({name: value.item() for name, value in student(batch, Ranks().average).items()})
    assert losses[0] == losses[1]


def test_tokens_of_unknown_phrases_alone_are_left_out() -> None:
    rows = torch.zeros(3, 256)
    rows[0, [1, 2]] = rows[1, [2, 3]] = rows[2, [5]] = 1
    expected = torch.ones(256)
    expected[[1, 5]] = 0  # token 2 is also phrase 1's
    assert known_tokens(rows, torch.tensor([0, 2])).equal(expected)
    assert known_tokens(rows, torch.tensor([], dtype=torch.long)).equal(torch.ones(256))
    assert known_tokens(torch.zeros(1, 256), torch.tensor([], dtype=torch.long)).equal(torch.ones(256))


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


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains(sharded: Path, precision: str) -> None:
    entries = {}
    for own in ("fp32", precision):
        train(RunDisk(sharded), small_training(steps=2, precision=own, checkpoint_every=10))
        entries[own] = [json.loads(line) for line in (sharded / "student" / "metrics.jsonl").read_text().splitlines()]
    for full, half in zip(entries["fp32"], entries[precision], strict=True):
        assert half["loss"] == pytest.approx(full["loss"], rel=0.05)
    assert entries["fp32"] != entries[precision]


def test_crops_train_the_backbone_and_nothing_else() -> None:
    gold = SceneSet("gold", 3, 20)
    glip = start_model(small_training())
    before = {name: value.clone() for name, value in glip.state_dict().items()}
    seen: list[int] = []
    torch.manual_seed(123)  # whatever was drawn before
    right = pretrain_backbone(glip, gold, 2, 1e-3, 0, 10**7, lambda step, share: seen.append(step))
    moved = {name.split(".")[0] for name, value in glip.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"backbone"} and 0 <= right <= 1 and seen == []
    again = start_model(small_training())
    assert pretrain_backbone(again, gold, 2, 1e-3, 0, 10**7, lambda step, share: None) == right
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in glip.state_dict().items())


@pytest.mark.parametrize("loaders", [1, 3])
def test_batches_do_not_depend_on_the_threads_that_make_them(sharded: Path, loaders: int) -> None:
    _, alone = make_batches(RunDisk(sharded), small_training(gold=GOLD, negative_captions=0.5))
    expected = [alone.make(step) for step in range(8)]
    _, maker = make_batches(RunDisk(sharded), small_training(gold=GOLD, negative_captions=0.5))
    for batch, own in zip(prefetch(maker.make, 0, 8, loaders), expected, strict=True):
        assert (batch.step, batch.pad_to) == (own.step, own.pad_to)
        for example, same in zip(batch.examples, own.examples, strict=True):
            assert (example.key, example.caption, example.spans) == (same.key, same.caption, same.spans)
            np.testing.assert_array_equal(example.image, same.image)
            np.testing.assert_array_equal(example.boxes, same.boxes)


def test_every_sample_is_seen_once_an_epoch_whatever_the_number_of_ranks(sharded: Path) -> None:
    """16 samples of three shards, batches of 5: an epoch is 3.2 batches, the windows of 8 batches hold 2.5 epochs."""
    for world in (1, 2, 3, 5, 7):
        _, maker = make_batches(RunDisk(sharded), small_training(batch_size=5))
        seen = Counter(
            example.key
            for step in range(16)
            for rank in range(world)
            for example in maker.make(step, rank, world).examples
        )  # 80 samples: five whole epochs
        assert len(seen) == 16 and set(seen.values()) == {5}


def free_port() -> int:
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def test_workers_share_a_batch_without_overlap(sharded: Path) -> None:
    _, maker = make_batches(RunDisk(sharded), small_training(gold=GOLD, batch_size=5))
    for step in range(4):
        whole = [example.key for example in maker.make(step).examples]
        shares = [[example.key for example in maker.make(step, rank, 2).examples] for rank in range(2)]
        assert sorted(shares[0] + shares[1]) == sorted(whole) and len(whole) == 5


@pytest.mark.slow
def test_gradients_are_clipped_by_their_norm(sharded: Path) -> None:
    """AdamW's step does not know the size of its gradients, until they are far below its epsilon."""
    moved = []
    for clip in (1.0, 1e-13):
        config = small_training(steps=2, clip=clip, weight_decay=0.0, ema=0.0)
        train(RunDisk(sharded), config)
        start, end = start_model(config).state_dict(), load_file(sharded / WEIGHTS)
        moved.append(sum(float((end[name] - start[name]).abs().sum()) for name in end))
        for path in (sharded / "student").iterdir():
            path.unlink()
    assert 0 < moved[1] < 1e-3 * moved[0]


def test_what_is_saved_is_the_moving_average(sharded: Path) -> None:
    runs = {}
    for ema in (0.999, 0.0):  # the average changes nothing in the training itself
        train(RunDisk(sharded), small_training(steps=4, checkpoint_every=3, ema=ema))
        state = torch.load(sharded / "student" / "checkpoint-00000003.pt", weights_only=True)
        runs[ema] = state["ema"], load_file(sharded / WEIGHTS)
        for path in (sharded / "student").iterdir():
            path.unlink()
    (before, averaged), (nothing, raw) = runs[0.999], runs[0.0]
    decay = (1 + 3) / (10 + 3)  # of step 3, the last one
    assert nothing == {} and any(not torch.equal(averaged[name], raw[name]) for name in raw)
    for name, value in averaged.items():
        torch.testing.assert_close(value, before[name] * decay + raw[name] * (1 - decay), rtol=1e-4, atol=1e-7)


def test_it_learns(tmp_path: Path) -> None:
    config = small_training(steps=16, batch_size=1, lr=2e-3, text_lr=2e-3, gold=SAME_SHAPE[:1], pseudo=False)
    result = train(RunDisk(tmp_path), config)
    metrics = [json.loads(line) for line in (tmp_path / "student" / "metrics.jsonl").read_text().splitlines()]
    assert result["samples_seen"] == 16
    assert np.mean([entry["loss"] for entry in metrics[-3:]]) < 0.8 * np.mean([entry["loss"] for entry in metrics[:3]])


def test_nothing_to_train_on_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "index.json").write_text('{"shards": []}')
    with pytest.raises(NothingToTrainOn, match="nothing to train on"):
        train(RunDisk(tmp_path), small_training())


def test_a_loss_that_is_no_number_names_the_samples(sharded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Glip, "losses", lambda *_, **__: {"loss_reg": torch.tensor(float("nan"))})
    with pytest.raises(NonFiniteLoss, match=r"step 0: the loss is nan; samples of the batch: 0000000000\d\d"):
        train(RunDisk(sharded), small_training())


def test_a_gradient_that_is_no_number_stops_before_any_weight_has_it(
    sharded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The square root's slope at 0 is infinite: a finite loss, and a gradient of inf times 0."""
    whole, steps = Glip.losses, count()

    def losses(self: Glip, *given: Any, **options: Any) -> dict[str, torch.Tensor]:
        found = whole(self, *given, **options)
        if next(steps) == 2:
            found["loss_reg"] = found["loss_reg"] + torch.sqrt(found["loss_reg"] * 0.0)
        return found

    monkeypatch.setattr(Glip, "losses", losses)
    keys = [example.key for example in make_batches(RunDisk(sharded), small_training())[1].make(2).examples]
    with pytest.raises(NonFiniteLoss, match=f"step 2: the norm of the gradient is nan; .*{', '.join(keys)}"):
        train(RunDisk(sharded), small_training(steps=4, checkpoint_every=1))
    assert not (sharded / WEIGHTS).exists()
    for path in (sharded / "student").glob("checkpoint*"):
        state = torch.load(path, weights_only=True)
        assert state["step"] <= 2 and all(bool(torch.isfinite(value).all()) for value in state["student"].values())


def test_a_damaged_image_is_skipped_and_counted(sharded: Path) -> None:
    shard = sharded / "shards" / "0000000-000.tar"
    data = bytearray(shard.read_bytes())
    data[512 : 512 + 64] = bytes(64)  # the first image's JPEG header
    shard.write_bytes(data)
    sets, _, _ = open_sets(RunDisk(sharded), small_training())
    _, maker = make_batches(RunDisk(sharded), small_training())
    skipped = [name for step in range(8) for name, _ in maker.make(step).skipped]  # two epochs
    assert len(sets["pseudo"]) == 16 and skipped == ["set 0, sample 0"] * 2
