"""GLIPv2's inter-image contrast against a computation with loops, and what it does to gradients."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from model.anchors import level_sizes, pyramid_anchors
from model.contrastive import RegionWordContrast, class_numbers, contrast
from model.glip import Glip
from model.losses import PhraseTargets, Positives, assign, match

CHANNELS, HIDDEN = 8, 6
LEVELS = [(8, 8), (4, 4), (2, 2), (1, 1), (1, 1)]  # of a 64 x 64 image


def by_hand(
    module: RegionWordContrast,
    maps: list[Tensor],
    states: Tensor,
    boxes: list[Tensor],
    phrase_targets: list[PhraseTargets],
    texts: list[list[str]],
    weights: list[Tensor],
) -> float:
    """The same number, one region and one phrase at a time, in plain Python."""

    def project(linear: torch.nn.Linear, feature: list[float]) -> list[float]:
        rows = zip(linear.weight.tolist(), linear.bias.tolist())
        out = [sum(w * x for w, x in zip(row, feature)) + b for row, b in rows]
        length = math.sqrt(sum(x * x for x in out))
        return [x / length for x in out]

    phrases: list[tuple[list[float], str]] = []
    for image, own_targets in enumerate(phrase_targets):
        for j, tokens in enumerate(own_targets.tokens.tolist()):
            used = [k for k, on in enumerate(tokens) if on]
            if used:
                mean = [sum(states[image, k, d].item() for k in used) / len(used) for d in range(HIDDEN)]
                phrases.append((project(module.text, mean), texts[image][j].lower()))
    regions: list[tuple[list[float], str, float]] = []
    for image, own in enumerate(boxes):
        anchor_indices, box_indices = assign(own, (64, 64))
        for anchor_index, box_index in zip(anchor_indices.tolist(), box_indices.tolist()):
            level, rest = 0, anchor_index
            while rest >= LEVELS[level][0] * LEVELS[level][1]:
                rest -= LEVELS[level][0] * LEVELS[level][1]
                level += 1
            y, x = divmod(rest, LEVELS[level][1])
            phrase = int(phrase_targets[image].phrase[box_index])
            if phrase_targets[image].tokens[phrase].any():
                feature = project(module.image, maps[level][image, :, y, x].tolist())
                regions.append((feature, texts[image][phrase].lower(), float(weights[image][box_index])))
    scale = math.exp(module.log_scale.item())
    score = [[scale * sum(a * b for a, b in zip(r[0], p[0])) for p in phrases] for r in regions]
    rows = 0.0
    for r, (_, name, weight) in enumerate(regions):
        total = math.log(sum(math.exp(s) for s in score[r]))
        right = [p for p in range(len(phrases)) if phrases[p][1] == name]
        rows += weight * sum(total - score[r][p] for p in right) / len(right)
    columns, shown = 0.0, 0
    for p, (_, name) in enumerate(phrases):
        right = [r for r in range(len(regions)) if regions[r][1] == name]
        if right:
            shown += 1
            total = math.log(sum(math.exp(score[r][p]) for r in range(len(regions))))
            mass = sum(regions[r][2] for r in right)
            columns += mass / len(right) * sum(regions[r][2] / mass * (total - score[r][p]) for r in right)
    return (rows / len(regions) + columns / shown) / 2


def batch() -> tuple[list[Tensor], Tensor, list[Tensor], list[PhraseTargets], list[list[str]], list[Tensor]]:
    """Three images: two phrases with three boxes; one phrase of the same words and one past the limit; no boxes."""
    generator = torch.Generator().manual_seed(3)
    maps = [torch.randn(3, CHANNELS, h, w, generator=generator) for h, w in LEVELS]
    states = torch.randn(3, 12, HIDDEN, generator=generator)
    tokens = torch.zeros(3, 3, 256)
    tokens[0, 0, 1:3] = tokens[0, 1, 5:9] = tokens[0, 2, 9] = 1
    tokens[1, 0, 2:4] = 1  # its phrase 1 has no tokens: past the limit
    tokens[2, 0, 1:6] = 1
    boxes = [
        torch.tensor([[4.0, 4, 30, 34], [34, 8, 60, 55], [6, 40, 28, 60]]),
        torch.tensor([[10.0, 10, 50, 50], [0, 0, 20, 20]]),
        torch.zeros(0, 4),
    ]
    phrase_targets = [
        PhraseTargets(tokens[0], torch.tensor([0, 1, 1])),
        PhraseTargets(tokens[1, :2], torch.tensor([0, 1])),
        PhraseTargets(tokens[2, :1], torch.zeros(0, dtype=torch.long)),
    ]
    texts = [["a dog", "two cups", "a hat"], ["A dog", "a kite"], ["a tree"]]
    weights = [torch.tensor([1.0, 0.5, 0.8]), torch.tensor([0.7, 1.0]), torch.zeros(0)]
    return maps, states, boxes, phrase_targets, texts, weights


def positives_of(boxes: list[Tensor]) -> Positives:
    return match(boxes, pyramid_anchors(level_sizes(64, 64)))


def test_it_is_what_loops_over_regions_and_phrases_give() -> None:
    module = RegionWordContrast(CHANNELS, HIDDEN, seed=1)
    maps, states, boxes, phrase_targets, texts, weights = batch()
    assert sum(len(assign(own, (64, 64))[0]) for own in boxes) > 6
    for own in ([torch.ones_like(x) for x in weights], weights):
        expected = by_hand(module, maps, states, boxes, phrase_targets, texts, own)
        found = module(maps, states, positives_of(boxes), phrase_targets, texts, own)
        assert found.item() == pytest.approx(expected, rel=1e-5)
    assert module(maps, states, positives_of(boxes), phrase_targets, texts).item() != pytest.approx(expected)


def test_phrases_of_other_images_are_negatives() -> None:
    module = RegionWordContrast(CHANNELS, HIDDEN, seed=1)
    maps, states, boxes, phrase_targets, texts, _ = batch()
    states = states.requires_grad_()
    module(maps, states, positives_of(boxes), phrase_targets, texts).backward()
    assert states.grad is not None and states.grad[2, 1:6].abs().sum() > 0  # an image without boxes: only as a negative
    assert states.grad[2, 6:].abs().sum() == 0


def test_equal_words_are_one_class() -> None:
    assert class_numbers(["a dog", "A  Dog", "dog", "a dog"], torch.device("cpu")).tolist() == [0, 0, 1, 0]
    scores = torch.tensor([[9.0, 9.0, -9.0], [-9.0, -9.0, 9.0]])
    same = torch.tensor([[True, True, False], [False, False, True]])  # two answers that the first cannot tell apart
    assert contrast(scores, same, torch.ones(2)).item() == pytest.approx(math.log(2) / 4, abs=1e-3)


def test_a_batch_without_boxes_adds_nothing_and_keeps_its_graph() -> None:
    module = RegionWordContrast(CHANNELS, HIDDEN)
    maps, states, boxes, phrase_targets, texts, _ = batch()
    none = [own[:0] for own in boxes]
    loss = module(
        maps, states, positives_of(none), [PhraseTargets(c.tokens, c.phrase[:0]) for c in phrase_targets], texts
    )
    loss.backward()
    assert loss.item() == 0 and all(x.grad is not None and not x.grad.any() for x in module.parameters())


def test_the_model_gives_it_its_features_from_before_the_fusion() -> None:
    glip = Glip.from_variant("glip-nano").eval()
    glip.variant = replace(glip.variant, short=64, long=96)
    module = RegionWordContrast(glip.variant.channels, glip.variant.text.hidden)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(2)]
    captions = ["a dog on a mat", "the red kite"]
    spans = [[[(0, 5)], [(9, 14)]], [[(0, 12)]]]
    targets = [
        {"boxes": torch.tensor([[4.0, 4, 40, 40]]), "phrase": torch.tensor([1])},
        {"boxes": torch.tensor([[10.0, 4, 60, 60]]), "phrase": torch.tensor([0])},
    ]
    plain = glip.losses(images, captions, spans, targets)
    losses = glip.losses(images, captions, spans, targets, contrast=module)
    assert {name: losses[name].item() for name in plain} == {name: value.item() for name, value in plain.items()}
    losses["loss_contrastive"].backward()
    touched = {name.split(".")[0] for name, x in glip.named_parameters() if x.grad is not None and x.grad.any()}
    assert touched == {"backbone", "language_backbone"}
    assert glip.state_dict().keys() == Glip.from_variant("glip-nano").state_dict().keys()


def test_padding_a_share_to_its_batch_gives_the_losses_of_the_batch() -> None:
    """Two images of unlike shape, apart but padded alike, add up to the batch of both."""
    glip = Glip.from_variant("glip-nano").eval()
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, shape, dtype=np.uint8) for shape in ((64, 96, 3), (96, 64, 3))]
    targets = [{"boxes": torch.tensor([[4.0, 4, 40, 40]]), "phrase": torch.tensor([0])}] * 2
    shared = {"captions": ["a dog"] * 2, "spans": [[[(0, 5)]]] * 2}
    seen: list[Tensor] = []

    def keep(value: Tensor) -> Tensor:
        seen.append(value)
        return torch.ones(2)  # no normalising: sums

    whole = glip.losses(images, **shared, targets=targets, resize_to=None, average=keep)
    apart = [
        glip.losses([image], ["a dog"], [[[(0, 5)]]], [target], resize_to=None, average=keep, pad_to=(96, 96))
        for image, target in zip(images, targets)
    ]
    for name, value in whole.items():
        assert value.item() == pytest.approx(sum(own[name].item() for own in apart), rel=1e-4)
    torch.testing.assert_close(seen[0], seen[1] + seen[2])
