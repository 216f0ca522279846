"""Stage by stage against what the official implementation computed; tolerances as its README gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from model.anchors import decode, level_sizes, pyramid_anchors
from model.anchors import encode as encode_boxes
from model.glip import Glip, preprocess
from model.grounding import GlipGrounder
from model.head import Grounding, HeadOutput, postprocess, split_levels
from model.losses import assign, centerness_target, head_losses
from model.prompt import category_caption, encode, pad, token_positions
from model.scheduler import Scheduler
from tests.model.test_grounding import assert_same

if TYPE_CHECKING:
    from tests.model.conftest import Case

CASES = ["c_ground", "c_detect", "a_ground", pytest.param("l_ground", marks=pytest.mark.slow)]
LEVELS = range(3, 8)


def worst(value: Tensor, expected: Tensor) -> float:
    assert value.shape == expected.shape
    return float((value - expected).abs().max())


def recorded_outputs(case: Case) -> list[HeadOutput]:
    """The official head outputs, tokens of all images padded to the longest with a value that must not be read."""
    longest = max(case.meta["valid_tokens"])
    return [
        HeadOutput(
            torch.stack(
                [
                    torch.nn.functional.pad(logits, (0, longest - logits.shape[1]), value=float("nan"))
                    for logits in (case[f"dot_logits_{i}_P{k}"] for i in range(len(case)))
                ]
            ),
            case[f"box_regression_P{k}"],
            case[f"centerness_P{k}"],
        )
        for k in LEVELS
    ]


def matched(found: Grounding, case: Case, image: int, pixels: float, score: float) -> int:
    """How many recorded detections have one of ours with the same phrase, box and score; each is used once."""
    free, count = list(range(len(found.boxes))), 0
    recorded = (case[f"{name}_{image}"] for name in ("boxes", "scores", "phrase"))
    for box, value, phrase in zip(*recorded, strict=True):
        for i in free:
            same = int(found.phrase[i]) == int(phrase) and abs(float(found.scores[i] - value)) <= score
            if same and worst(found.boxes[i], box) <= pixels:
                free.remove(i)
                count += 1
                break
    return count


@pytest.mark.parametrize("name", ["c_ground", "c_detect", "a_ground", "l_ground", "c_train"])
def test_preprocessing(parity: Callable[[str], Case], name: str) -> None:
    case = parity(name)
    images = [case.arrays[f"image_{i}"] for i in range(len(case))]
    pixels, sizes = preprocess(images, *(case.meta.get("resize") or (None, None)))
    assert sizes == case.image_sizes
    assert worst(pixels, case["padded"]) < 1e-5


@pytest.mark.parametrize("name", ["c_ground", "c_detect", "a_ground", "l_ground"])
def test_tokens(parity: Callable[[str], Case], name: str) -> None:
    case = parity(name)
    encodings = [encode(caption) for caption in case.meta["captions"]]
    input_ids, attention_mask = pad([encoding.ids for encoding in encodings])
    length = input_ids.shape[1]
    assert torch.equal(input_ids.int(), case["input_ids"][:, :length])
    assert torch.equal(attention_mask, case["attention_mask"][:, :length].long())
    assert not case["attention_mask"][:, length:].any()
    for encoding, spans, expected in zip(encodings, case.meta["spans"], case.token_maps, strict=True):
        assert [token_positions(encoding, own) for own in spans] == expected


def test_detection_caption(parity: Callable[[str], Case]) -> None:
    meta = parity("c_detect").meta
    caption, spans = category_caption(meta["categories"])
    assert caption == meta["captions"][0]
    assert [[list(span) for span in own] for own in spans] == meta["spans"][0]


@pytest.mark.parametrize("name", CASES)
def test_network(parity: Callable[[str], Case], official: Callable[..., Glip], name: str) -> None:
    case = parity(name)
    glip = official(case.meta["variant"], case.meta["seed"])
    seen: dict[object, object] = {}
    watched = {"swin": glip.backbone.body, "fpn": glip.backbone.fpn, "language": glip.language_backbone}
    watched |= dict(enumerate(glip.rpn.head.dyhead_tower))
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, out, key=key: seen.__setitem__(key, out))
        for key, module in watched.items()
    ]
    with torch.inference_mode():
        outputs = glip.head_outputs(case["padded"], case["input_ids"], case["attention_mask"])
    for hook in hooks:
        hook.remove()

    valid = case.meta["valid_tokens"]
    for i, count in enumerate(valid):
        assert worst(seen["language"][i, :count], case[f"lang_hidden_{i}"]) < 1e-4
    for k, x in zip(range(2, 6), seen["swin"], strict=True):
        assert worst(x[:, ::8, ::2, ::2], case[f"swin_C{k}"]) < 1e-4
    for k, x in zip(LEVELS, seen["fpn"], strict=True):
        assert worst(x[:, ::8, ::2, ::2] if k == 3 else x[:, ::8], case[f"fpn_P{k}"]) < 1e-4

    sizes = [output.centerness.shape[-2:] for output in outputs]
    for j, kind in enumerate(case.meta["tower"]):
        maps = {"VLFuse": lambda x: split_levels(x[0], sizes), "DyConv": list, "BertEncoderLayer": lambda x: None}
        states = {"VLFuse": lambda x: x[1], "DyConv": lambda x: None, "BertEncoderLayer": lambda x: x}
        levels, tokens = maps[kind](seen[j]), states[kind](seen[j])
        if levels is not None:
            assert worst(levels[0][:, ::16, ::4, ::4], case[f"tower_{j}_P3"]) < 1e-3
            assert worst(levels[2][:, ::16], case[f"tower_{j}_P5"]) < 1e-3
            assert worst(levels[4][:, ::4], case[f"tower_{j}_P7"]) < 1e-3
        for i, count in enumerate(valid if tokens is not None else []):
            assert worst(tokens[i, :count, ::16], case[f"tower_{j}_lang_{i}"]) < 1e-3

    for k, output in zip(LEVELS, outputs, strict=True):
        assert worst(output.box_regression, case[f"box_regression_P{k}"]) < 1e-3
        assert worst(output.centerness, case[f"centerness_P{k}"]) < 1e-3
        for i, count in enumerate(valid):
            difference = (output.token_logits[i, :, :count] - case[f"dot_logits_{i}_P{k}"]).abs()
            assert difference.max() < 2e-3
            assert difference.mean() < 2e-4

    found = postprocess(outputs, case.image_sizes, case.token_maps)
    for i, one in enumerate(found):
        recorded = len(case.arrays[f"boxes_{i}"])
        assert matched(one, case, i, pixels=0.05, score=1e-3) >= 0.98 * max(recorded, len(one.boxes))


@pytest.mark.parametrize("name", ["c_ground", "c_detect", "a_ground", "l_ground"])
def test_postprocessing_of_recorded_outputs(parity: Callable[[str], Case], name: str) -> None:
    case = parity(name)
    found = postprocess(recorded_outputs(case), case.image_sizes, case.token_maps)
    assert len(found) == len(case) > 0
    for i, one in enumerate(found):
        assert len(one.boxes) == len(case.arrays[f"boxes_{i}"]) == matched(one, case, i, pixels=0.01, score=1e-5)
        assert (one.scores.diff() <= 0).all()


def test_postprocessing_alone(parity: Callable[[str], Case]) -> None:
    case = parity("postproc")
    kinds = ("dot_logits", "box_regression", "centerness")
    outputs = [HeadOutput(*(case[f"{kind}_P{k}"] for kind in kinds)) for k in LEVELS]
    found = postprocess(outputs, case.image_sizes, case.token_maps)
    assert len(found) == len(case) > 0
    for i, one in enumerate(found):
        assert len(one.boxes) == len(case.arrays[f"boxes_{i}"]) == matched(one, case, i, pixels=0.01, score=1e-5)


@pytest.mark.parametrize("name", ["c_train", "atss"])
def test_assignment_and_targets(parity: Callable[[str], Case], name: str) -> None:
    case = parity(name)
    padded = case.arrays["padded"].shape[2:] if name == "c_train" else case.arrays["padded_size"].tolist()
    anchors = torch.cat(pyramid_anchors(level_sizes(*padded)))
    for suffix in ("",) if name == "atss" else ("_0", "_1"):
        boxes = case["gt_boxes" + suffix]
        anchor_index, box_index = assign(boxes, padded)
        expected = zip(case["positive_anchor" + suffix].tolist(), case["positive_gt" + suffix].tolist(), strict=True)
        assert list(zip(anchor_index.tolist(), box_index.tolist(), strict=True)) == sorted(expected)
        order = case["positive_anchor" + suffix].argsort()
        assert torch.equal(anchors[anchor_index], case["positive_anchor_box" + suffix][order])
        targets = encode_boxes(boxes[box_index], anchors[anchor_index])
        assert worst(targets, case["positive_reg_target" + suffix][order]) < 1e-5
        quality = centerness_target(anchors[anchor_index], decode(targets, anchors[anchor_index]))
        assert worst(quality, case["positive_centerness_target" + suffix][order]) < 1e-5


def training_targets(case: Case) -> tuple[list[Tensor], list[Tensor]]:
    boxes = [case[f"gt_boxes_{i}"] for i in range(len(case))]
    return boxes, list(case["positive_map_all"].split([len(own) for own in boxes]))


def assert_losses(found: dict[str, Tensor], case: Case, tolerance: float) -> None:
    assert set(found) == {"loss_dot_product_token", "loss_reg", "loss_centerness"}
    for name, value in found.items():
        assert value.item() == pytest.approx(case.meta["losses"][name], rel=tolerance)


def test_losses_of_recorded_outputs(parity: Callable[[str], Case]) -> None:
    case = parity("c_train")
    case.meta["valid_tokens"] = [case.arrays[f"dot_logits_{i}_P3"].shape[1] for i in range(len(case))]
    assert_losses(head_losses(recorded_outputs(case), *training_targets(case), case["attention_mask"]), case, 1e-5)


def test_losses_and_gradients(parity: Callable[[str], Case], official: Callable[..., Glip]) -> None:
    case = parity("c_train")
    glip = official(case.meta["variant"], case.meta["seed"]).train()
    images = [case.arrays[f"image_{i}"] for i in range(len(case))]
    boxes, _ = training_targets(case)
    targets = [{"boxes": own + torch.tensor([0, 0, 1, 1]), "phrase": torch.arange(len(own))} for own in boxes]
    losses = glip.losses(images, case.meta["captions"], case.meta["gt_spans"], targets, resize_to=None)
    assert_losses(losses, case, 5e-5)

    torch.stack(list(losses.values())).sum().backward()
    gradients = {name: value.grad for name, value in glip.named_parameters()}
    assert [name for name, grad in gradients.items() if grad is None] == case.meta["params_without_grad"]
    for name, norm in case.meta["grad_norms"].items():
        assert float(gradients[name].norm()) == pytest.approx(norm, rel=1e-2), name
    total = torch.stack([grad.norm() for grad in gradients.values() if grad is not None]).norm()
    assert float(total) == pytest.approx(case.meta["total_grad_norm"], rel=1e-2)
    for name in case.arrays.files:
        if name.startswith("grad::"):
            expected = case[name]
            assert worst(gradients[name.removeprefix("grad::")], expected) < 2e-2 * float(expected.abs().max())
    glip.zero_grad(set_to_none=True)
    glip.eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["c_ground", "a_ground"])
def test_big_models_give_the_same_alone_and_in_a_batch(
    parity: Callable[[str], Case], official: Callable[..., Glip], name: str
) -> None:
    """Three images of one padded shape with captions of different lengths, together and one by one."""
    case = parity(name)
    glip = official(case.meta["variant"], case.meta["seed"])
    first, other = case.arrays["image_0"], case.arrays[f"image_{len(case) - 1}"]
    images = [first, first[::-1].copy(), other]
    captions = [case.meta["captions"][0], "two dogs on a bench", case.meta["captions"][-1]]
    spans = [case.meta["spans"][0], [[(0, 8)], [(12, 19)]], case.meta["spans"][-1]]
    floor, sides = 0.1, case.meta["resize"]
    runs = Scheduler(GlipGrounder(glip, sides or (None, None)))
    together = runs.ground(images, captions, spans, floor)
    assert [len(batch) for batch in runs.batches] == [3]
    for i, found in enumerate(together):
        (alone,) = glip.ground(images[i : i + 1], captions[i : i + 1], spans[i : i + 1], floor, sides)
        assert len(alone.boxes) > 20
        assert_same(found, alone, floor)


def test_ground_returns_the_recorded_boxes_half_open(
    parity: Callable[[str], Case], official: Callable[..., Glip]
) -> None:
    """From image and caption. Both images of c_ground have the same padding alone as in their batch."""
    case = parity("c_ground")
    glip = official(case.meta["variant"], case.meta["seed"])
    images = [case.arrays[f"image_{i}"] for i in range(2)]
    floor = 0.225  # above sqrt(0.05): no candidate that only `ground` considers can have such a score
    found = glip.ground(images, case.meta["captions"], case.meta["spans"], floor, tuple(case.meta["resize"]))
    assert len(found) == 2
    for i, (one, image, (height, width)) in enumerate(zip(found, images, case.image_sizes, strict=True)):
        ratio = np.array([image.shape[1] / width, image.shape[0] / height] * 2)
        boxes = torch.from_numpy((case.arrays[f"boxes_{i}"] + np.array([0, 0, 1, 1])) * ratio)
        recorded = list(zip(boxes, case[f"scores_{i}"], case[f"phrase_{i}"], strict=True))
        recorded = [(box, score, phrase) for box, score, phrase in recorded if score >= floor]
        assert len(recorded) >= 8
        assert len(one.boxes) >= len(recorded)
        for box, score, phrase in recorded:
            same = (one.phrase == phrase) & ((one.scores - score).abs() < 1e-3)
            assert ((one.boxes[same] - box).abs().amax(1) < 0.1).any()
