"""Epochs, early stopping and the best epoch; the images as the losses see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.glip import Glip
from model.prompt import CategoryList
from model.tuning import choose_trained
from schemas.config import TuneConfig
from stages.stage import UserError
from stages.tune import tuner
from stages.tune.tuner import Checkpoints, Patience, Shot, Trainer, batches, tune
from tests.stages.train.conftest import RunDisk

LISTED = CategoryList.of(["hen", "cow"])
SIDES = (64, 96)


def shot(number: int) -> Shot:
    pixels = np.random.default_rng(number).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    boxes = np.array([[10, 5, 40 + number, 50]], dtype=np.float32)
    return Shot(lambda: pixels, boxes, np.array([number % 2]))


def config(**values: Any) -> TuneConfig:
    return TuneConfig.model_validate({"shots": 10, "epochs": 3, "warmup": 0, "batch_size": 2, **values})


def seen(patience: Patience, aps: list[float]) -> Iterator[tuple[bool, float]]:
    """Of each epoch up to the end: whether it is the best one, and the factor of the rate afterwards."""
    for ap in aps:
        yield patience.see(ap, warm=True), round(patience.factor, 6)
        if patience.over:
            return


def test_the_rate_falls_after_four_flat_epochs_and_training_ends_after_eight_low_ones() -> None:
    found = list(seen(Patience.published(10), [5.0, 7.0, 7.0, *[6.0] * 20]))
    assert [best for best, _ in found] == [True, True, True, *[False] * 8]  # of equals the last is kept
    assert [factor for _, factor in found] == [1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01]


def test_with_all_images_it_is_three_and_four() -> None:
    found = list(seen(Patience.published("all"), [5.0, *[4.0] * 20]))
    assert [factor for _, factor in found] == [1, 1, 1, 0.1, 0.1]


def test_nothing_found_is_no_reason_to_end_and_the_rate_rises_before_it_falls() -> None:
    patience = Patience.published(1)
    assert all(patience.see(0.0, warm=False) for _ in range(30))
    assert not patience.over and patience.factor == 1


def test_an_epoch_shows_each_image_as_often_as_it_should() -> None:
    found = [batches(7, 4, config(seed=seed), epoch) for seed, epoch in ((3, 1), (3, 2), (4, 1))]
    for own in found:
        flat = [entry for batch in own for entry in batch]
        assert Counter(index for index, _ in flat) == dict.fromkeys(range(7), 4)
        assert [len(batch) for batch in own] == [2] * 14
        assert {mirrored for _, mirrored in flat} == {True, False}
    assert found[0] != found[1] != found[2] and found[0] == batches(7, 4, config(), 1)
    assert [len(batch) for batch in batches(5, 1, config(), 1)] == [2, 2, 1]
    assert not any(mirrored for batch in batches(9, 1, config(flip=0.0), 1) for _, mirrored in batch)


def test_an_image_is_mirrored_with_its_boxes() -> None:
    one = shot(3)
    pixels, target = one.load(mirrored=True)
    plain, same = one.load(mirrored=False)
    np.testing.assert_array_equal(pixels, plain[:, ::-1])
    assert target["boxes"].tolist() == [[96 - 43, 5, 96 - 10, 50]] and same["boxes"].tolist() == [[10, 5, 43, 50]]
    assert target["phrase"].tolist() == [1]


@pytest.mark.parametrize("method", ["full", "linear", "prompt"])
def test_only_the_named_parameters_change(tmp_path: Path, method: Any) -> None:
    glip, before = Glip.pretrained("glip-nano"), Glip.pretrained("glip-nano").state_dict()
    names = choose_trained(glip, method, LISTED)
    assert len(names) >= 1
    aps = iter([1.0, 2.0, 4.0, 3.0])
    kept: dict[str, torch.Tensor] = {}

    def validate() -> float:
        ap = next(aps)
        if ap == 4.0:
            kept.update({name: value.detach().clone() for name, value in glip.named_parameters()})
        return ap

    shots = [shot(number) for number in range(3)]
    kept_on_disk = Checkpoints(RunDisk(tmp_path), "tuned")
    settings = config(method=method)
    result = tune(glip, names, LISTED, shots, validate, settings, SIDES, lambda epoch, ap: None, kept_on_disk)
    assert (result.best_epoch, result.aps, len(result.losses)) == (2, [1.0, 2.0, 4.0, 3.0], 3)
    assert result.tensors.keys() == set(names) and not glip.training
    for name in names:
        assert torch.equal(result.tensors[name], kept[name])  # of the best epoch, not of the last
    after = glip.state_dict()
    changed = {name for name in after if name not in before or not torch.equal(after[name], before[name])}
    assert changed <= set(names) and len(changed) > 0.9 * len(names)


def test_the_rates_of_each_method_and_the_warm_up() -> None:
    def rates(method: Any, steps: int, **values: Any) -> set[tuple[float, float]]:
        glip = Glip.pretrained("glip-nano")
        choose_trained(glip, method, LISTED)
        trainer = Trainer(glip, LISTED, [shot(0)], config(method=method, **values), SIDES)
        for epoch in range(steps):
            trainer.epoch(epoch, factor=0.5)
        return {(round(group["lr"], 9), group["weight_decay"]) for group in trainer.optimizer.param_groups}

    assert rates("full", 0) == {(1e-4, 0.05), (2e-4, 0.0), (1e-5, 0.05), (2e-5, 0.0)}
    assert rates("linear", 0) == {(1e-4, 0.05), (2e-4, 0.0)}
    assert rates("prompt", 0) == {(0.05, 0.25)}
    assert rates("prompt", 0, lr=0.2, weight_decay=0.0) == {(0.2, 0.0)}
    assert rates("linear", 0, lr=0.2) == {(0.2, 0.05), (0.4, 0.0)}
    assert rates("prompt", 2, warmup=4) == {(round(0.05 * 0.5 * (0.001 + 0.999 / 4), 9), 0.25)}  # at the second step


def test_images_come_at_drawn_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    glip = Glip.pretrained("glip-nano")
    choose_trained(glip, "prompt", LISTED)
    seen, losses = [], glip.losses

    def spied(*given: Any, **named: Any) -> Any:
        seen.append(named["resize_to"])
        return losses(*given, **named)

    monkeypatch.setattr(glip, "losses", spied)
    trainer = Trainer(glip, LISTED, [shot(0)], config(method="prompt", scales=[64, 96]), SIDES)
    for epoch in range(4):
        trainer.epoch(epoch, 1.0)
    assert len(seen) == 4 and set(seen) == {(64, 96), (96, 96)}


@pytest.mark.parametrize("method", ["full", "prompt"])
def test_an_interrupted_tuning_goes_on_as_if_undisturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Any
) -> None:
    """From the epoch that was kept last, with the best one and its patience; a second start repeats none before it."""
    monkeypatch.setattr(tuner, "KEEP_EVERY", 0.0)
    shots, aps = [shot(number) for number in range(3)], [1.0, 5.0, 2.0, 3.0, 5.0, 4.0]

    def tuned(folder: str, given: list[float], end: int = 9) -> tuple[tuner.Result, list[int]]:
        glip, left, seen = Glip.pretrained("glip-nano"), iter(given), []

        def progress(epoch: int, ap: float) -> None:
            seen.append(epoch)
            if epoch == end:
                raise KeyboardInterrupt

        names = choose_trained(glip, method, LISTED)
        settings = config(method=method, epochs=5, warmup=4, scales=[64, 96])
        kept = Checkpoints(RunDisk(tmp_path), folder)
        try:
            result = tune(glip, names, LISTED, shots, lambda: next(left), settings, SIDES, progress, kept)
        except KeyboardInterrupt:
            return tuner.Result({}, []), seen
        kept.clear()
        return result, seen

    whole, _ = tuned("whole", aps)
    assert tuned("halved", aps, end=3)[1] == [1, 2, 3]
    assert [path.name for path in (tmp_path / "halved").iterdir()] == ["checkpoint-00000002.pt"]
    found, seen = tuned("halved", aps[3:])
    assert seen == [3, 4, 5] and not list((tmp_path / "halved").iterdir())
    assert (
        (found.aps, found.losses, found.best_epoch)
        == (whole.aps, whole.losses, whole.best_epoch)
        == (*(aps, whole.losses, 4),)
    )
    assert all(torch.equal(found.tensors[name], whole.tensors[name]) for name in whole.tensors)
    assert found.tensors.keys() == whole.tensors.keys()


def test_a_checkpoint_is_kept_when_enough_time_has_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(tuner.time, "monotonic", lambda: now[0])
    kept = Checkpoints(RunDisk(tmp_path), "tuned")
    for epoch, seconds in ((1, 299.0), (2, 1.0), (3, 299.0)):
        now[0] += seconds
        kept.save(epoch, lambda epoch=epoch: {"epoch": epoch})  # type: ignore[misc]
    assert kept.load() == {"epoch": 2}


def test_a_rate_that_is_too_high_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    glip = Glip.pretrained("glip-nano")
    names = choose_trained(glip, "prompt", LISTED)
    monkeypatch.setattr(glip, "losses", lambda *given, **named: {"loss": torch.tensor(float("nan"))})
    kept, settings = Checkpoints(RunDisk(tmp_path), "tuned"), config(method="prompt")
    with pytest.raises(UserError, match=r"^tune: the loss of step 0 is nan; lower tune.lr$"):
        tune(glip, names, LISTED, [shot(0)], lambda: 0.0, settings, SIDES, lambda epoch, ap: None, kept)
