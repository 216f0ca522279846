"""Assignment and losses against scalar definitions, on head outputs of made-up sizes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from model.glip import Glip
from model.head import HeadOutput
from model.losses import Known, assign, focal_loss, head_losses, token_loss
from tests.model.boxes import Box, iou

PADDED = (96, 128)
SIZES = [(12, 16), (6, 8), (3, 4), (2, 2), (1, 1)]  # P6 and P7: rounded up
TOKENS = 10


def anchors() -> list[list[Box]]:
    """By level: squares of eight strides around the centre of each cell."""
    levels = []
    for (rows, columns), stride in zip(SIZES, (8, 16, 32, 64, 128), strict=True):
        level = []
        for i in range(rows):
            for j in range(columns):
                x, y = j * stride + stride / 2 - 0.5, i * stride + stride / 2 - 0.5
                reach = 4 * stride - 0.5
                level.append((x - reach, y - reach, x + reach, y + reach))
        levels.append(level)
    return levels


def centre(a: Box) -> tuple[float, float]:
    return (a[0] + a[2]) / 2, (a[1] + a[3]) / 2


def assigned(boxes: list[Box]) -> dict[int, int]:
    """ATSS by the book: anchor -> box."""
    levels = anchors()
    joined = [anchor for level in levels for anchor in level]
    claims: dict[int, list[tuple[float, int]]] = {}
    for number, box in enumerate(boxes):
        candidates, start = [], 0
        for level in levels:
            near = sorted(range(len(level)), key=lambda i: math.dist(centre(level[i]), centre(box)))
            candidates += [start + i for i in near[:9]]
            start += len(level)
        overlaps = [iou(joined[i], box) for i in candidates]
        threshold = statistics.mean(overlaps) + statistics.stdev(overlaps)
        for i, overlap in zip(candidates, overlaps, strict=True):
            x, y = centre(joined[i])
            inside = min(x - box[0], y - box[1], box[2] - x, box[3] - y) > 0.01
            if overlap >= threshold and inside:
                claims.setdefault(i, []).append((overlap, number))
    return {i: max(own)[1] for i, own in claims.items()}


def boxes_of(seed: int, count: int) -> list[Box]:
    """Off the grid, so that no two anchors are equally near."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for x, y, w, h in torch.rand(count, 4, generator=generator).tolist():
        x1, y1 = x * 80 + 0.137, y * 60 + 0.211
        found.append((x1, y1, x1 + 8 + w * 60, y1 + 8 + h * 50))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_assignment_is_atss(seed: int) -> None:
    boxes = boxes_of(seed, 7)
    anchor_index, box_index = assign(torch.tensor(boxes), PADDED)
    assert dict(zip(anchor_index.tolist(), box_index.tolist(), strict=True)) == assigned(boxes)
    assert anchor_index.tolist() == sorted(anchor_index.tolist())


def test_an_image_without_boxes_has_no_positives() -> None:
    anchor_index, box_index = assign(torch.zeros(0, 4), PADDED)
    assert anchor_index.tolist() == box_index.tolist() == []


def outputs_of(seed: int) -> list[HeadOutput]:
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return [HeadOutput(random(2, h * w, TOKENS), random(2, 4, h, w), random(2, 1, h, w)) for h, w in SIZES]


def by_hand(
    outputs: list[HeadOutput], boxes: list[list[Box]], labels: list[Tensor], mask: Tensor, weights: list[list[float]]
) -> dict[str, float]:
    """The three losses, anchor by anchor and token by token."""
    joined = [anchor for level in anchors() for anchor in level]
    logits = torch.cat([x.token_logits for x in outputs], 1)
    deltas = torch.cat([x.box_regression.flatten(2) for x in outputs], 2)
    centerness = torch.cat([x.centerness.flatten(1) for x in outputs], 1)
    token = reg = center = quality_sum = count = 0.0
    for image in range(2):
        box_indices = assigned(boxes[image])
        for a, anchor in enumerate(joined):
            box_index = box_indices.get(a)
            weight = 1.0 if box_index is None else weights[image][box_index]
            for t in range(TOKENS):
                if mask[image, t]:
                    p = 1 / (1 + math.exp(-float(logits[image, a, t])))
                    positive = box_index is not None and labels[image][box_index, t]
                    token += weight * (
                        -0.25 * (1 - p) ** 2 * math.log(p) if positive else -0.75 * p**2 * math.log(1 - p)
                    )
            if box_index is None:
                continue
            count += 1
            box = boxes[image][box_index]
            (x, y), p = centre(anchor), 1 / (1 + math.exp(-float(centerness[image, a])))
            sides = (x - box[0], box[2] - x, y - box[1], box[3] - y)
            quality = math.sqrt(min(sides[:2]) / max(sides[:2]) * min(sides[2:]) / max(sides[2:]))
            quality_sum += quality
            center -= weight * (quality * math.log(p) + (1 - quality) * math.log(1 - p))
            reg += weight * quality * giou_loss(decoded(deltas[image, :, a].tolist(), anchor), box)
    count = max(count, 1)
    return {
        "loss_dot_product_token": token / count,
        "loss_reg": 2 * reg / max(quality_sum, 1e-6),
        "loss_centerness": center / count,
    }


def decoded(delta: list[float], anchor: Box) -> Box:
    size = anchor[2] - anchor[0] + 1
    x, y = (c + d / 10 * size for c, d in zip(centre(anchor), delta[:2], strict=True))
    w, h = (size * math.exp(min(d / 5, math.log(1000 / 16))) - 1 for d in delta[2:])
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def giou_loss(a: Box, b: Box) -> float:
    a = (a[0], a[1], max(a[0], a[2]), max(a[1], a[3]))
    overlap = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return 1 - overlap / union + (hull - union) / hull


def case() -> tuple[list[list[Box]], list[Tensor], Tensor]:
    boxes = [boxes_of(10, 4), boxes_of(11, 3)]
    labels = [torch.zeros(len(own), 256) for own in boxes]
    for image, own in enumerate(labels):
        for number, row in enumerate(own):
            row[1 + number : 3 + number + image] = 1
    mask = torch.zeros(2, 256, dtype=torch.long)
    mask[0, :10], mask[1, :8] = 1, 1
    return boxes, labels, mask


def test_losses_are_their_definitions() -> None:
    boxes, labels, mask = case()
    outputs = outputs_of(0)
    found = head_losses(outputs, [torch.tensor(own) for own in boxes], labels, mask)
    expected = by_hand(outputs, boxes, labels, mask, [[1.0] * 4, [1.0] * 3])
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected, rel=1e-4)


def test_weights_scale_what_a_box_adds() -> None:
    boxes, labels, mask = case()
    outputs = outputs_of(1)
    weights = [[0.2, 1.0, 0.0, 0.7], [0.5, 0.9, 1.0]]
    tensors = [torch.tensor(own) for own in boxes]
    found = head_losses(outputs, tensors, labels, mask, weights=[torch.tensor(own) for own in weights])
    expected = by_hand(outputs, boxes, labels, mask, weights)
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected, rel=1e-4)


def test_boxes_that_do_not_train_the_regression_leave_it_to_the_others() -> None:
    boxes, labels, mask = case()
    outputs = outputs_of(2)
    tensors = [torch.tensor(own) for own in boxes]
    flags = [torch.zeros(4, dtype=torch.bool), torch.ones(3, dtype=torch.bool)]
    found = head_losses(outputs, tensors, labels, mask, regression=flags)
    everything = head_losses(outputs, tensors, labels, mask)
    second = [HeadOutput(*(x[1:] for x in output)) for output in outputs]
    alone = head_losses(second, tensors[1:], labels[1:], mask[1:])
    assert float(found["loss_reg"]) == pytest.approx(float(alone["loss_reg"]), rel=1e-5)
    assert found["loss_centerness"] == everything["loss_centerness"]


def test_no_box_at_all_still_gives_a_graph() -> None:
    outputs = [HeadOutput(*(x.requires_grad_() for x in output)) for output in outputs_of(3)]
    none = [torch.zeros(0, 4)] * 2
    losses = head_losses(outputs, none, [torch.zeros(0, 256)] * 2, case()[2])
    assert float(losses["loss_reg"].detach()) == float(losses["loss_centerness"].detach()) == 0
    torch.stack(list(losses.values())).sum().backward()
    assert all(x.grad is not None and x.grad.isfinite().all() for output in outputs for x in output)


def test_average_gets_the_normalisers() -> None:
    """Two processes of one image each, with averaged normalisers, add up to the mean over one process of both."""
    boxes, labels, mask = case()
    outputs, tensors = outputs_of(4), [torch.tensor(own) for own in boxes]
    together = head_losses(outputs, tensors, labels, mask)
    seen: list[Tensor] = []

    def losses_of(image: int, average: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        own = [HeadOutput(*(x[image : image + 1] for x in output)) for output in outputs]
        return head_losses(
            own, tensors[image : image + 1], labels[image : image + 1], mask[image : image + 1], average=average
        )

    for image in range(2):
        losses_of(image, lambda x: seen.append(x) or x)
    mean = torch.stack(seen).mean(0)
    parts = [losses_of(image, lambda x: mean) for image in range(2)]
    assert len(together) == 3
    for name, value in together.items():
        assert float((parts[0][name] + parts[1][name]) / 2) == pytest.approx(float(value), rel=1e-5)


def test_losses_of_images_use_half_open_boxes_of_the_given_image(
    nano: Glip, images_made: Callable[..., list[np.ndarray]]
) -> None:
    """The same scene at twice the size, with boxes at twice the size, is the same training sample after resizing."""
    (image,) = images_made(3, [(224, 288)])
    big = image.repeat(2, 0).repeat(2, 1)
    caption, spans = "a dog and a cat", [[(0, 5)], [(10, 15)]]
    boxes = torch.tensor([[20.0, 30, 90, 100], [150, 60, 250, 200]])
    target = {"boxes": boxes, "phrase": [0, 1]}
    with torch.no_grad():
        small = nano.losses([image], [caption], [spans], [target])
        large = nano.losses([big], [caption], [spans], [{"boxes": boxes * 2, "phrase": torch.tensor([0, 1])}])
    assert len(small) == 3
    for name, value in small.items():
        assert float(large[name]) == pytest.approx(float(value), rel=0.02)


def test_a_phrase_past_the_token_limit_leaves_its_box_without_tokens(
    nano: Glip, images_made: Callable[..., list[np.ndarray]]
) -> None:
    caption = "word " * 300 + "dog"
    target = {"boxes": [[20, 30, 90, 100]], "phrase": [0]}
    with torch.no_grad():
        losses = nano.losses(images_made(4, [(96, 96)]), [caption], [[[(1500, 1503)]]], [target], resize_to=None)
    assert float(losses["loss_reg"]) > 0
    assert all(value.isfinite() for value in losses.values())


def test_checkpointing_changes_no_gradient(images_made: Callable[..., list[np.ndarray]]) -> None:
    glip = Glip.from_variant("glip-nano", seed=3)
    image, caption = images_made(5, [(96, 128)]), ["a dog and a cat"]
    target = [([[20.0, 30, 90, 80]], [1])]

    def gradients() -> Tensor:
        glip.zero_grad()
        losses = glip.losses(image, caption, [[[(0, 5)], [(10, 15)]]], target, resize_to=None)
        torch.stack(list(losses.values())).sum().backward()
        return torch.cat([parameter.grad.flatten() for parameter in glip.parameters()])

    expected = gradients()
    glip.use_checkpointing()
    torch.testing.assert_close(gradients(), expected)


def test_text_is_known_inside_of_its_boxes_alone() -> None:
    """Anchors of 8 pixels at (4, 4), (12, 4) ...: the first token is known in the left box, the second in both."""
    x = torch.arange(4.0) * 8
    anchors = torch.stack([x, torch.zeros(4), x + 8, torch.full((4,), 8.0)], dim=1)
    tokens = torch.zeros(2, 256)
    tokens[0, 0] = tokens[0, 1] = tokens[1, 1] = 1
    known = Known(torch.tensor([[0.0, 0, 13, 8], [20.0, 0, 27, 8]]), tokens)
    assert known.mask(anchors, 3).tolist() == [[1, 1, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_what_is_not_known_trains_nothing() -> None:
    logits = torch.randn(2, 5, 4, requires_grad=True)
    mask = torch.zeros(5, 4)
    mask[1, 2] = mask[3, 0] = 1
    nothing = torch.zeros(0, dtype=torch.long)
    arguments = torch.zeros(0, 4), torch.ones(2, 4), nothing, nothing, torch.zeros(0)
    loss = token_loss(logits, *arguments, known=[mask, None])
    expected = focal_loss(logits, torch.zeros_like(logits))
    assert torch.isclose(loss, (expected[0] * mask).sum() + expected[1].sum())
    loss.backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[0] != 0, mask != 0) and (logits.grad[1] != 0).all()
