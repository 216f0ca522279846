"""The training loop: losses, steps, what is saved, and that a resumed training ends as an undisturbed one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from model.glip import Glip
from stages.train import loop
from stages.train.bad_batches import NonFiniteLoss
from stages.train.loader import Batch
from stages.train.loop import Student
from stages.train.ranks import Ranks
from stages.train.samples import Example
from stages.train.stage import WEIGHTS, make_batches, train
from stages.train.start import start_model
from stages.train.targets import loss_target
from tests.stages.train.conftest import GOLD, SAME_SHAPE, RunDisk, small_training


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


def test_a_share_without_samples_adds_nothing_to_the_gradient(sharded: Path) -> None:
    """A rank whose images are all damaged, or that has none, takes part in the step and changes nothing."""
    _, maker = make_batches(RunDisk(sharded), small_training())
    student = Student(start_model(small_training())[0], small_training(contrastive=1.0).train)
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
    batch, glip = maker.make(0), start_model(plain)[0].eval()
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
    batch, glip = maker.make(0), start_model(plain)[0].eval()

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


def test_names_of_others_in_a_list_are_negatives_and_not_unknown(sharded: Path) -> None:
    """What the teacher did not find is not in the list at all, so whatever has no box there is not in the image."""
    losses = []
    for ungrounded in ("absent", "unknown"):
        config = small_training(flip=0.0, phrase_prompts=1.0, ungrounded=ungrounded)
        _, maker = make_batches(RunDisk(sharded), config)
        batch = maker.make(0)
        assert all(len(example.spans) > len(set(example.phrase.tolist())) for example in batch.examples)
        assert all("unknown" not in loss_target(example, config.train) for example in batch.examples)
        student = Student(start_model(config)[0].eval(), config.train)
        losses.append({name: value.item() for name, value in student(batch, Ranks().average).items()})
    assert losses[0] == losses[1]


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


@pytest.mark.slow
def test_gradients_are_clipped_by_their_norm(sharded: Path) -> None:
    """AdamW's step does not know the size of its gradients, until they are far below its epsilon."""
    moved = []
    for clip in (1.0, 1e-13):
        config = small_training(steps=2, clip=clip, weight_decay=0.0, ema=0.0)
        train(RunDisk(sharded), config)
        start, end = start_model(config)[0].state_dict(), load_file(sharded / WEIGHTS)
        moved.append(sum(float((end[name] - start[name]).abs().sum()) for name in end))
        for path in (sharded / "student").iterdir():
            path.unlink()
    assert 0 < moved[1] < 1e-3 * moved[0]


def test_the_losses_are_read_once_the_backward_pass_is_under_way(
    sharded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading them before, a GPU would have nothing to do until the host has read them and launched something."""
    events: list[str] = []
    backward, whole = torch.Tensor.backward, loop.to_host

    def noted(x: torch.Tensor, *rest: Any, **options: Any) -> None:
        events.append("backward")
        backward(x, *rest, **options)

    def sent(tensors: list[torch.Tensor]) -> Callable[[], list[torch.Tensor]]:
        events.append("sent")
        wait = whole(tensors)
        return lambda: events.append("read") or wait()

    monkeypatch.setattr(torch.Tensor, "backward", noted)
    monkeypatch.setattr(loop, "to_host", sent)
    train(RunDisk(sharded), small_training(steps=2))
    assert events == ["sent", "backward", "read"] * 2


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


def spoil(monkeypatch: pytest.MonkeyPatch, steps: set[int], gradient: bool = False) -> list[int]:
    """Makes the losses of these forward passes NaN, or their gradient alone; returns the passes as they come.

    The square root's slope at 0 is infinite: a finite loss, and a gradient of inf times 0.
    """
    whole, passes = Glip.losses, list[int]()

    def losses(self: Glip, *given: Any, **options: Any) -> dict[str, torch.Tensor]:
        found = whole(self, *given, **options)
        passes.append(len(passes))
        if passes[-1] in steps:
            factor = torch.sqrt(found["loss_reg"] * 0.0) if gradient else torch.tensor(float("nan"))
            found["loss_reg"] = found["loss_reg"] + factor
        return found

    monkeypatch.setattr(Glip, "losses", losses)
    return passes


def test_the_third_batch_in_a_row_without_a_loss_ends_the_training(
    sharded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {1, 2, 3})
    keys = [
        ", ".join(x.key for x in make_batches(RunDisk(sharded), small_training())[1].make(i).examples)
        for i in (1, 2, 3)
    ]
    words = "; ".join(f"step {i + 1}: the loss is nan; samples of the batch: {own}" for i, own in enumerate(keys))
    with pytest.raises(NonFiniteLoss, match=f"^{words}$"):
        train(RunDisk(sharded), small_training(steps=6, scales=(32,)))
    assert not (sharded / WEIGHTS).exists()


@pytest.mark.parametrize("gradient", [False, True])
def test_a_batch_whose_loss_or_gradient_is_no_number_changes_nothing_and_is_recorded(
    sharded: Path, monkeypatch: pytest.MonkeyPatch, gradient: bool
) -> None:
    spoil(monkeypatch, {2}, gradient)
    config = small_training(steps=4, checkpoint_every=1, keep_checkpoints=9, scales=(32,))
    keys = [example.key for example in make_batches(RunDisk(sharded), config)[1].make(2).examples]
    result = train(RunDisk(sharded), config)
    what = "norm of the gradient" if gradient else "loss"
    assert result["bad_batches"] == [f"step 2: the {what} is nan; samples of the batch: {', '.join(keys)}"]
    assert result["batches_left_out"] == 1 and list(result["unused"].values()) == [1]
    before, after = (
        torch.load(sharded / "student" / f"checkpoint-0000000{step}.pt", weights_only=True) for step in (2, 3)
    )
    for part in ("student", "ema"):
        assert all(torch.equal(before[part][name], after[part][name]) for name in before[part])
    entries = [json.loads(line) for line in (sharded / "student" / "metrics.jsonl").read_text().splitlines()]
    assert [entry["loss"] is None for entry in entries] == [False, False, True, False]
    assert [entry["batches_left_out"] for entry in entries] == [0, 0, 1, 1]
    assert all(bool(torch.isfinite(value).all()) for value in load_file(sharded / WEIGHTS).values())


def test_a_bad_batch_that_a_resumed_training_meets_again_is_left_out_again(
    sharded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_training(steps=4, checkpoint_every=2, scales=(32,))
    spoil(monkeypatch, {3})
    undisturbed, whole = train(RunDisk(sharded), config), load_file(sharded / WEIGHTS)
    for path in (sharded / "student").iterdir():
        path.unlink()
    monkeypatch.undo()
    passes = spoil(monkeypatch, {3, 5})  # the last step, in the first attempt and after the resume
    with pytest.raises(KeyboardInterrupt):
        train(RunDisk(sharded, fail_before=WEIGHTS), config)
    assert train(RunDisk(sharded), config) == undisturbed and len(passes) == 6
    assert all(torch.equal(whole[name], value) for name, value in load_file(sharded / WEIGHTS).items())
