"""What users call: batches of images of any sizes, long captions, many categories, failures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

from model import scheduler
from model.geometry import pairwise_iou
from model.glip import Glip, Request, preprocess
from model.grounding import GlipGrounder
from model.outputs import Grounding
from model.prompt import caption_prompts, category_prompts, encode, pad
from model.scheduler import Scheduler
from model.teacher import NO_TOKENS, NON_FINITE, OVER_LIMIT

SIZES = [(224, 288), (300, 200), (224, 288), (180, 400), (224, 320), (60, 50), (230, 290), (224, 288), (500, 90)]
CAPTIONS = [
    "a red umbrella behind a dog",
    "two green apples",
    "dog and a very long description of nothing in particular that goes on, and on, then ends with a cat",
    "cat, dog",
    "three small dogs chase a frisbee",
    "car",
    "an old fisherman repairs his net",
    "a cat",
    "blue sky over the sea",
]
SPANS = [
    [[(0, 14)], [(22, 27)]],
    [[(0, 16)]],
    [[(0, 3)], [(94, 99)]],
    [[(0, 3)], [(5, 8)], [(0, 3), (5, 8)]],
    [[(0, 16)], [(23, 32)]],
    [[(0, 3)]],
    [[(0, 16)], [(25, 32)]],
    [],
    [[(0, 8)], [(14, 21)]],
]
FLOOR = 0.1


@pytest.fixture(scope="module")
def images(images_made: Callable) -> list[np.ndarray]:
    return images_made(0, SIZES)


@pytest.fixture(scope="module")
def alone(nano: Glip, images: list[np.ndarray]) -> list[Grounding]:
    """Every image in a call of its own."""
    return [
        nano.ground([image], [caption], [spans], FLOOR)[0]
        for image, caption, spans in zip(images, CAPTIONS, SPANS, strict=True)
    ]


def scheduled(nano: Glip, batch_size: int = 8) -> Scheduler:
    """What `nano.ground` runs, to look at its batches afterwards."""
    return Scheduler(GlipGrounder(nano, (nano.variant.short, nano.variant.long)), batch_size)


def assert_same(found: Grounding, expected: Grounding, floor: float = FLOOR) -> None:
    """The same boxes in any order, but for scores within 1e-3 of the floor."""
    free = list(range(len(found.boxes)))
    for box, score, phrase in zip(expected.boxes, expected.scores, expected.phrase, strict=True):
        for i in free:
            near = (found.boxes[i] - box).abs().max() < 0.05 and (found.scores[i] - score).abs() < 1e-4
            if near and found.phrase[i] == phrase:
                free.remove(i)
                break
        else:
            assert score < floor + 1e-3, f"box {box.tolist()} of phrase {phrase} is missing"
    assert all(found.scores[i] < floor + 1e-3 for i in free)


def test_the_small_model_finds_plenty_to_compare(alone: list[Grounding]) -> None:
    assert [len(one.boxes) > 20 for one in alone] == [bool(spans) for spans in SPANS]
    assert max(float(one.scores.max()) for one in alone if len(one.scores)) > 0.5


@pytest.mark.parametrize("size", [2, 8])
def test_a_result_does_not_depend_on_its_neighbours(
    nano: Glip, images: list[np.ndarray], alone: list[Grounding], size: int
) -> None:
    runs = scheduled(nano, size)
    together = runs.ground(images, CAPTIONS, SPANS, FLOOR)
    assert sorted(i for batch in runs.batches for i in batch) == [0, 1, 2, 3, 4, 5, 6, 8]  # 7 has nothing to look for
    assert {0, 2, 6} in [set(batch) for batch in runs.batches] or size == 2
    for found, expected in zip(together, alone, strict=True):
        assert_same(found, expected)


def test_order_of_the_call_is_the_order_of_the_results(
    nano: Glip, images: list[np.ndarray], alone: list[Grounding]
) -> None:
    turned = [8, 3, 0, 7, 5]
    found = nano.ground([images[i] for i in turned], [CAPTIONS[i] for i in turned], [SPANS[i] for i in turned], FLOOR)
    assert len(found) == len(turned)
    for one, i in zip(found, turned, strict=True):
        assert_same(one, alone[i])


def test_boxes_are_half_open_inside_the_given_image_and_sorted(alone: list[Grounding]) -> None:
    for one, (height, width) in zip(alone, SIZES, strict=True):
        assert one.boxes.dtype == torch.float32 and one.phrase.dtype == torch.int64
        assert (one.boxes >= 0).all()
        assert (one.boxes[:, [0, 2]] <= width).all() and (one.boxes[:, [1, 3]] <= height).all()
        assert (one.boxes[:, 2:] > one.boxes[:, :2]).all()
        assert (one.scores >= FLOOR).all() and (one.scores <= 1).all()
        assert (one.scores.diff() <= 0).all()
    assert any((one.boxes[:, 2] == width).any() for one, (_, width) in zip(alone, SIZES, strict=True))


def test_phrases_do_not_suppress_each_other(nano: Glip, images: list[np.ndarray], alone: list[Grounding]) -> None:
    """Asked for alone, a phrase of the same caption gets the same boxes, among which none overlap by over 0.6."""
    for i in (0, 3):
        for phrase, own in enumerate(SPANS[i]):
            (found,) = nano.ground([images[i]], [CAPTIONS[i]], [[own]], FLOOR)
            mine = alone[i].phrase == phrase
            expected = Grounding(alone[i].boxes[mine], alone[i].scores[mine], torch.zeros(int(mine.sum())).long())
            assert_same(found, expected)
            legacy = found.boxes - torch.tensor([0, 0, 1, 1])
            assert pairwise_iou(legacy, legacy).fill_diagonal_(0).max() < 0.62
    double = [SPANS[0][0]] * 30  # the same phrase thirty times: no limit is shared
    (found,) = nano.ground(images[:1], CAPTIONS[:1], [double], FLOOR)
    assert set(found.phrase.bincount().tolist()) == {int((alone[0].phrase == 0).sum())}


def test_a_higher_floor_gives_the_same_boxes_above_it(
    nano: Glip, images: list[np.ndarray], alone: list[Grounding]
) -> None:
    (found,) = nano.ground(images[:1], CAPTIONS[:1], SPANS[:1], 0.4)
    high = alone[0].scores >= 0.4
    assert 3 < high.sum() < len(high)
    assert_same(found, Grounding(alone[0].boxes[high], alone[0].scores[high], alone[0].phrase[high]), 0.4)


def test_long_captions_ground_every_phrase(nano: Glip, images: list[np.ndarray]) -> None:
    caption = "a red umbrella behind a dog. " * 60
    spans = [[(29 * i, 29 * i + 14)] for i in range(60)] + [[(0, 1700)], [(1732, 1733)]]
    (found,) = nano.ground(images[:1], [caption], [spans], FLOOR)
    assert set(found.phrase.tolist()) == set(range(60))
    assert found.dropped == [(60, OVER_LIMIT), (61, NO_TOKENS)]
    prompts, _ = caption_prompts(caption, spans)
    assert len(prompts) == 2
    assert (found.scores.diff() <= 0).all()


def test_captions_of_several_prompts_share_batches(
    nano: Glip, images: list[np.ndarray], alone: list[Grounding]
) -> None:
    sentence = "a red umbrella behind a dog. "
    captions = [sentence * 60, CAPTIONS[2], sentence * 90]
    spans = [[[(29 * i, 29 * i + 14)] for i in range(60)], SPANS[2], [[(29 * i, 29 * i + 14)] for i in range(90)]]
    chosen = [images[0], images[2], images[6]]
    assert [len(caption_prompts(*own)[0]) for own in zip(captions, spans, strict=True)] == [2, 1, 3]
    runs = scheduled(nano)
    found = runs.ground(chosen, captions, spans, FLOOR)
    assert runs.batches == [[0, 2], [1]]  # of one shape, but short text is not padded to long
    assert_same(found[1], alone[2])
    for i in (0, 2):
        (expected,) = nano.ground([chosen[i]], [captions[i]], [spans[i]], FLOOR)
        assert_same(found[i], expected)


def test_a_stream_loads_few_images_at_a_time(nano: Glip, images: list[np.ndarray], alone: list[Grounding]) -> None:
    """40 images in batches of 2, each waiting for at most 6 later ones; none is loaded long before its result."""
    chosen = [i for _ in range(6) for i in (0, 1, 2, 4, 6, 7, 8)][:40]
    loaded, most = 0, 0

    def load(i: int) -> np.ndarray | None:
        nonlocal loaded, most
        loaded += 1
        most = max(most, loaded - len(found))
        return None if i == 4 else images[i]

    samples = (Request(SIZES[i], partial(load, i), caption_prompts(CAPTIONS[i], SPANS[i])) for i in chosen)
    found: dict[int, Grounding] = {}
    runs = scheduled(nano, 2)
    for number, one in runs.stream(samples, FLOOR, hold=6):
        assert number not in found
        found[number] = one
    assert sorted(found) == list(range(40)) == list(range(loaded))
    assert most <= 2 * (scheduler.AHEAD + 3)
    for number, i in enumerate(chosen):
        if i == 4:
            assert found[number].failed == scheduler.NO_IMAGE and not len(found[number].boxes)
        else:
            assert found[number].failed is None
            assert_same(found[number], alone[i])
    assert not {i for batch in runs.batches for i in batch} & {n for n, i in enumerate(chosen) if i in (4, 7)}


def test_a_image_of_another_size_than_announced_is_an_error(nano: Glip, images: list[np.ndarray]) -> None:
    sample = Request((10, 10), lambda: images[0], caption_prompts(CAPTIONS[0], SPANS[0]))
    with pytest.raises(ValueError, match=r"an image of \(224, 288\) where \(10, 10\) was announced"):
        list(nano.stream([sample]))


def test_nothing_to_look_for(nano: Glip, images: list[np.ndarray]) -> None:
    found = nano.ground(images[:3], ["", "a cat", "  "], [[], [], [[(0, 2)]]], FLOOR)
    assert [len(one.boxes) for one in found] == [0, 0, 0]
    assert [one.boxes.shape for one in found] == [(0, 4)] * 3
    assert [one.dropped for one in found] == [[], [], [(0, NO_TOKENS)]]
    assert [one.failed for one in found] == [None] * 3
    assert nano.ground([], [], []) == []


def test_images_of_odd_sizes_and_captions_of_odd_characters(nano: Glip) -> None:
    sizes = [(1, 1), (1, 300), (300, 1), (33, 31), (2, 2), (31, 500)]
    images = [np.full((height, width, 3), 90, dtype=np.uint8) for height, width in sizes]
    captions = ["\U0001f436 dog", "a\u0301 cat", "\u72d7 \u2014 dog", "\ud800dog", "DOG\x00\ufeff", "[SEP] dog [MASK]"]
    spans = [[[(0, len(caption))], [(caption.lower().find("dog"), len(caption))]] for caption in captions]
    spans[1] = [[(3, 6)], [(0, 2)]]
    for resize_to in ("variant", None):
        found = nano.ground(images, captions, spans, FLOOR, resize_to=resize_to)
        for one, (height, width) in zip(found, sizes, strict=True):
            assert one.failed is None and one.dropped == []
            assert (one.boxes[:, 2:] > one.boxes[:, :2]).all() and (one.boxes >= 0).all()
            assert (one.boxes[:, 2] <= width).all() and (one.boxes[:, 3] <= height).all()
        assert len(found[3].boxes) and len(found[5].boxes)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((0, 40, 3), dtype=np.uint8), "an image of 0 x 40 .* has no pixels"),
        (np.zeros((40, 40, 3), dtype=np.float32), r"uint8 RGB arrays \(H, W, 3\), not float32 \(40, 40, 3\)"),
        (np.zeros((40, 40), dtype=np.uint8), r"not uint8 \(40, 40\)"),
        (np.zeros((40, 40, 4), dtype=np.uint8), r"not uint8 \(40, 40, 4\)"),
    ],
)
def test_what_is_no_image_is_an_error(nano: Glip, image: np.ndarray, message: str) -> None:
    for resize_to in ("variant", None):
        with pytest.raises(ValueError, match=message):
            nano.ground([image], CAPTIONS[:1], SPANS[:1], resize_to=resize_to)
    for sides in ((40, 60), (None, None)):
        with pytest.raises(ValueError, match=message):
            preprocess([image], *sides)


def test_detect_takes_any_number_of_categories(nano: Glip, images_made: Callable) -> None:
    images = images_made(9, [(96, 96), (96, 96)])
    names = [f"thing {i}" for i in range(1200)] + ["dining_table", "", "cup (ceramic)"]
    floor = 0.2
    found = nano.detect(images, names, floor, resize_to=None)
    assert all(one.dropped == [(1201, NO_TOKENS)] for one in found)
    seen = set(found[0].phrase.tolist())
    assert len(seen) > 600 and max(seen) > 1150 and min(seen) < 50
    first = len(category_prompts(names)[0][0].phrases)  # the first prompt again, as a caption: the same boxes
    caption = ". ".join(names[:first])
    spans = [[(caption.index(name + "."), caption.index(name + ".") + len(name))] for name in names[: first - 1]]
    (expected,) = nano.ground(images[:1], [caption], [spans], floor, resize_to=None)
    mine = found[0].phrase < first - 1
    assert_same(Grounding(found[0].boxes[mine], found[0].scores[mine], found[0].phrase[mine]), expected, floor)


def test_non_finite_scores_never_leave(
    nano: Glip, images: list[np.ndarray], alone: list[Grounding], monkeypatch
) -> None:
    """One image's features turn NaN inside the network: it is reported, the others of its batch are unharmed."""
    forward = nano.backbone.forward

    def poisoned(pixels: torch.Tensor) -> list[torch.Tensor]:
        maps = forward(pixels)
        if len(pixels) > 1:
            maps[2][1, 0, 0, 0] = float("nan")
        return maps

    monkeypatch.setattr(nano.backbone, "forward", poisoned)
    found = nano.ground([images[0], images[2]], [CAPTIONS[0], CAPTIONS[2]], [SPANS[0], SPANS[2]], FLOOR)
    assert [one.failed for one in found] == [None, NON_FINITE]
    assert_same(found[0], alone[0])
    assert len(found[1].boxes) == len(found[1].scores) == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["bias0", "dot_product_projection_text.bias", "bbox_pred.bias", "centerness.bias"])
def test_what_is_infinite_before_a_clamp_is_reported_too(
    nano: Glip, images: list[np.ndarray], name: str, value: float
) -> None:
    """Logits are clamped, as published: an infinite one must not pass for a score of 1."""
    weight = nano.rpn.head.get_parameter(name)
    before = weight.detach().clone()
    with torch.no_grad():
        weight[0] = value
    try:
        (found,) = nano.ground(images[:1], CAPTIONS[:1], SPANS[:1], FLOOR)
    finally:
        with torch.no_grad():
            weight.copy_(before)
    assert found.failed == NON_FINITE and not len(found.boxes)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("CUDA error: out of memory"),  # of pinned memory, and of libraries beside torch's allocator
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_out_of_memory_halves_the_batch(
    nano: Glip, images: list[np.ndarray], alone: list[Grounding], monkeypatch, error: BaseException
) -> None:
    forward = nano.backbone.forward

    def small(pixels: torch.Tensor) -> list[torch.Tensor]:
        if len(pixels) > 2:
            raise error
        return forward(pixels)

    monkeypatch.setattr(nano.backbone, "forward", small)
    chosen = [0, 2, 0, 6, 2]  # all padded to one shape
    runs = scheduled(nano)
    found = runs.ground([images[i] for i in chosen], [CAPTIONS[i] for i in chosen], [SPANS[i] for i in chosen], FLOOR)
    assert [len(batch) for batch in runs.batches] == [2, 1, 2] and runs.halved == 2
    for one, i in zip(found, chosen, strict=True):
        assert_same(one, alone[i])


def test_an_image_that_does_not_fit_alone_is_reported(
    nano: Glip, images: list[np.ndarray], alone: list[Grounding], monkeypatch
) -> None:
    forward = nano.rpn.head.forward

    def choosy(maps, states, attention_mask):
        if states.shape[1] > 15:  # the long caption
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")
        return forward(maps, states, attention_mask)

    monkeypatch.setattr(nano.rpn.head, "forward", choosy)
    found = nano.ground([images[0], images[2]], [CAPTIONS[0], CAPTIONS[2]], [SPANS[0], SPANS[2]], FLOOR)
    assert [one.failed for one in found] == [None, scheduler.OUT_OF_MEMORY]
    assert_same(found[0], alone[0])


def test_other_errors_are_not_hidden(nano: Glip, images: list[np.ndarray], monkeypatch) -> None:
    def broken(pixels: torch.Tensor) -> list[torch.Tensor]:
        raise RuntimeError("a programming error")

    monkeypatch.setattr(nano.backbone, "forward", broken)
    with pytest.raises(RuntimeError, match="a programming error"):
        nano.ground(images[:1], CAPTIONS[:1], SPANS[:1])


def test_grounding_leaves_train_mode_as_it_was(nano: Glip, images: list[np.ndarray]) -> None:
    (expected,) = nano.ground(images[:1], CAPTIONS[:1], SPANS[:1], 0.5)
    assert not nano.training
    nano.train()
    try:
        (found,) = nano.ground(images[:1], CAPTIONS[:1], SPANS[:1], 0.5)
        assert nano.training and torch.equal(found.scores, expected.scores)
        results = nano.stream([Request(SIZES[0], lambda: images[0], caption_prompts(CAPTIONS[0], SPANS[0]))], 0.5)
        assert torch.equal(next(results)[1].scores, expected.scores) and not nano.training
        results.close()
        assert nano.training
    finally:
        nano.eval()


@pytest.mark.parametrize(("precision", "drift"), [("bf16", 0.5), ("fp16", 0.06)])
def test_half_precision_stays_near(nano: Glip, images: list[np.ndarray], precision: str, drift: float) -> None:
    """Logits spread over some 3 units here. Positions and final predictions keep full precision."""
    pixels, _ = preprocess([images[5]], None)
    input_ids, attention_mask = pad([encode(CAPTIONS[0]).ids])
    with torch.inference_mode():
        expected = nano.head_outputs(pixels, input_ids, attention_mask)
        nano.precision = precision
        try:
            found = nano.head_outputs(pixels, input_ids, attention_mask)
        finally:
            nano.precision = "fp32"
    difference = torch.cat([(x.token_logits - y.token_logits).abs() for x, y in zip(found, expected, strict=True)], 1)
    assert 0 < difference.mean() < drift / 5
    assert difference.max() < drift
    assert all(value.dtype == torch.float32 for output in found for value in output)
