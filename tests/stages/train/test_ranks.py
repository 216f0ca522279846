"""Ranks that share a training do as one."""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as multiprocessing
from safetensors.torch import load_file
from torch.multiprocessing.spawn import ProcessExitedException

from model.glip import Glip
from stages.train.bad_batches import NonFiniteLoss
from stages.train.stage import WEIGHTS, make_batches, train
from stages.train.start import start_model
from tests.stages.train.conftest import GOLD, SAME_SHAPE, RunDisk, small_training


def meet(folder: Path) -> str:
    """Where two ranks find each other: a file of their own, since a port that is free now may be taken in a moment."""
    return f"file://{folder}/meeting-{uuid.uuid4().hex}"


def mortal_worker(rank: int, root: Path, meeting: str, dies: bool) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=2)
    try:
        train(RunDisk(root, fail_before=WEIGHTS if dies else None), small_training(gold=GOLD), rank, 2)
    except KeyboardInterrupt:
        os._exit(3)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_go_on_from_their_checkpoint_as_if_undisturbed(sharded: Path) -> None:
    multiprocessing.spawn(mortal_worker, (sharded, meet(sharded), False), nprocs=2)
    whole = load_file(sharded / WEIGHTS)
    for path in (sharded / "student").iterdir():
        path.unlink()
    with pytest.raises(ProcessExitedException):
        multiprocessing.spawn(mortal_worker, (sharded, meet(sharded), True), nprocs=2)
    assert {path.name for path in (sharded / "student").glob("checkpoint*")} == {"checkpoint-00000002.pt"}
    multiprocessing.spawn(mortal_worker, (sharded, meet(sharded), False), nprocs=2)
    resumed = load_file(sharded / WEIGHTS)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def worker(rank: int, root: Path, meeting: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=2)
    train(RunDisk(root), small_training(steps=2, flip=0.0, gold=SAME_SHAPE, pseudo=False), rank, 2)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_workers_do_as_one_with_the_same_global_batch(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for root in (one, two):
        root.mkdir()
    train(RunDisk(one), small_training(steps=2, flip=0.0, gold=SAME_SHAPE, pseudo=False))
    multiprocessing.spawn(worker, (two, meet(two)), nprocs=2)
    assert apart(one, two) < 0.01  # AdamW makes a step of a gradient's rounding error, so single weights may differ


def accumulating_worker(rank: int, root: Path, meeting: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=2)
    train(RunDisk(root), small_training(**PIECES, accumulate=3), rank, 2)
    torch.distributed.destroy_process_group()


PIECES = {"steps": 2, "flip": 0.0, "gold": SAME_SHAPE, "pseudo": False}


def apart(one: Path, two: Path) -> float:
    """How far apart two trainings have ended, in lengths of the way from their common start."""
    first, second = load_file(one / WEIGHTS), load_file(two / WEIGHTS)
    start = start_model(small_training())[0].state_dict()
    moved = sum(float((first[name] - start[name]).square().sum()) for name in first) ** 0.5
    assert moved > 0
    return sum(float((first[name] - second[name]).square().sum()) for name in first) ** 0.5 / moved


def losses_of(root: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (root / "student/metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("accumulate", [2, 3])  # pieces of 2 and 2, of 2, 1 and 1 samples, with 3 to 6 boxes each
def test_a_batch_in_pieces_is_the_same_step(tmp_path: Path, accumulate: int) -> None:
    for name, changes in (("whole", {}), ("pieces", {"accumulate": accumulate})):
        (tmp_path / name).mkdir()
        train(RunDisk(tmp_path / name), small_training(**PIECES, **changes))
    assert apart(tmp_path / "whole", tmp_path / "pieces") < 0.01
    assert losses_of(tmp_path / "pieces") == pytest.approx(losses_of(tmp_path / "whole"), rel=1e-4)


@pytest.mark.slow
def test_two_workers_with_their_shares_in_pieces_do_as_one(tmp_path: Path) -> None:
    """Each has two samples in three pieces, so that the last piece is empty."""
    one, two = tmp_path / "one", tmp_path / "two"
    for root in (one, two):
        root.mkdir()
    train(RunDisk(one), small_training(**PIECES))
    multiprocessing.spawn(accumulating_worker, (two, meet(two)), nprocs=2)
    assert apart(one, two) < 0.01
    assert losses_of(two) == pytest.approx(losses_of(one), rel=1e-4)


def worker_with_a_bad_loss(rank: int, root: Path, meeting: str) -> None:
    """The second rank's loss is not a number; each rank writes down what it says."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=2)
    if rank == 1:
        whole = Glip.losses
        Glip.losses = lambda *a, **k: {name: loss * float("nan") for name, loss in whole(*a, **k).items()}  # type: ignore
    try:
        train(RunDisk(root), small_training(steps=4), rank, 2)
    except NonFiniteLoss as error:
        (root / f"said-{rank}").write_text(str(error))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_every_rank_names_the_samples_of_the_one_whose_loss_is_no_number(sharded: Path) -> None:
    _, maker = make_batches(RunDisk(sharded), small_training(steps=4))
    keys = [", ".join(example.key for example in maker.make(step, rank=1, world=2).examples) for step in range(3)]
    multiprocessing.spawn(worker_with_a_bad_loss, (sharded, meet(sharded)), nprocs=2)
    said = "; ".join(f"step {step}: the loss is nan; samples of the batch: {keys[step]}" for step in range(3))
    assert [(sharded / f"said-{rank}").read_text() for rank in (0, 1)] == [said, said]


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


def test_workers_share_a_batch_without_overlap(sharded: Path) -> None:
    _, maker = make_batches(RunDisk(sharded), small_training(gold=GOLD, batch_size=5))
    for step in range(4):
        whole = [example.key for example in maker.make(step).examples]
        shares = [[example.key for example in maker.make(step, rank, 2).examples] for rank in range(2)]
        assert sorted(shares[0] + shares[1]) == sorted(whole) and len(whole) == 5
