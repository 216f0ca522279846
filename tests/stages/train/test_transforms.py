"""Augmentation keeps boxes and spans on what they name."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from model.images import resize, resized_size
from model.prompt import MAX_TOKENS, clean_category, encode, truncated
from stages.synthetic import draw_scene
from stages.train.samples import TrainingSample
from stages.train.sets import SceneSet
from stages.train.transforms import (
    decode,
    detection_prompt,
    how_many_captions,
    join_names,
    mirror,
    pack_captions,
    phrase_prompt,
    shortened,
)
from stages.train.wording import singular, substitute_words


def scene_sample(index: int) -> TrainingSample:
    return SceneSet("web", 0, 1000).sample(index)


def named(sample: TrainingSample) -> list[tuple[str, tuple[float, ...]]]:
    """(text of the phrase, box) of every box."""
    return [
        (" ".join(sample.caption[start:end] for start, end in sample.spans[phrase]), tuple(box))
        for phrase, box in zip(sample.phrase.tolist(), sample.boxes.tolist(), strict=True)
    ]


@pytest.mark.parametrize("sides", [(None, None), (96, 160)])
def test_mirroring_moves_pixels_and_boxes_together(sides: tuple[int | None, int | None]) -> None:
    index = next(i for i in range(50) if not {"left", "right"} & set(draw_scene("web", 0, i).caption.lower().split()))
    sample = scene_sample(index)
    plain, mirrored = (decode(sample, 10**7, sides, mirrored=mirrored) for mirrored in (False, True))
    np.testing.assert_array_equal(mirrored.image, plain.image[:, ::-1])
    width = plain.image.shape[1]
    for (x1, y1, x2, y2), after in zip(plain.boxes, mirrored.boxes, strict=True):
        np.testing.assert_array_equal(after, [width - x2, y1, width - x1, y2])


@pytest.mark.parametrize("mirrored", [False, True])
def test_decoding_to_the_networks_size_is_the_resize_of_the_whole_image(mirrored: bool) -> None:
    """The pixels that inference would make of the stored image, and boxes at the same share of both sides."""
    sample = scene_sample(3)
    whole = decode(sample, 10**7, mirrored=mirrored)
    small = decode(sample, 10**7, (96, 160), mirrored=mirrored)
    size = resized_size(whole.image.shape, (96, 160))
    assert small.image.shape[:2] == size != whole.image.shape[:2]
    np.testing.assert_allclose(small.image, resize(whole.image, size).astype(int), atol=1)  # mirrored after or before
    share = np.array([small.image.shape[i] / whole.image.shape[i] for i in (1, 0, 1, 0)])
    np.testing.assert_allclose(small.boxes, whole.boxes * share, rtol=1e-5)
    assert (small.caption, small.spans, small.key) == (whole.caption, whole.spans, whole.key)


def captioned(caption: str, *phrases: str) -> tuple[TrainingSample, Image.Image]:
    """A 10 x 4 image with a box at its left for every phrase, each found in the caption by its first place."""
    starts = [caption.index(phrase) for phrase in phrases]
    sample = TrainingSample(
        key="0",
        image=b"",
        caption=caption,
        spans=tuple(((start, start + len(phrase)),) for start, phrase in zip(starts, phrases, strict=True)),
        boxes=np.tile(np.array([[1, 0, 4, 3]], np.float32), (len(phrases), 1)),
        phrase=np.arange(len(phrases)),
        scores=np.ones(len(phrases), np.float32),
        pseudo=False,
    )
    return sample, Image.fromarray(np.arange(10 * 4 * 3, dtype=np.uint8).reshape(4, 10, 3))


@pytest.mark.parametrize(
    ("caption", "swapped", "phrases", "expected"),
    [
        (
            "a cup on the LEFT of a plate, left of the right Right",
            "a cup on the RIGHT of a plate, right of the left Left",
            ["a cup", "the LEFT", "a plate", "the right Right"],
            ["a cup", "the RIGHT", "a plate", "the left Left"],
        ),
        ("Left: two dogs (right)", "Right: two dogs (left)", ["Left", "two dogs"], ["Right", "two dogs"]),
        ("left", "right", ["left"], ["right"]),
        ("from left to right, a cat", "from right to left, a cat", ["a cat"], ["a cat"]),
        ("a bright light, all rights reserved",) * 2 + (["a bright light"],) * 2,
        ("leftovers upright on a copyright sign",) * 2 + (["a copyright sign"],) * 2,
    ],
)  # fmt: skip
def test_mirroring_swaps_the_sides_in_the_caption_and_keeps_its_spans(
    caption: str, swapped: str, phrases: list[str], expected: list[str]
) -> None:
    sample, image = captioned(caption, *phrases)
    mirrored, pixels = mirror(sample, image)
    assert mirrored.caption == swapped
    assert [mirrored.caption[start:end] for ((start, end),) in mirrored.spans] == expected
    assert mirrored.boxes.tolist() == [[6, 0, 9, 3]] * len(phrases)
    again, same = mirror(mirrored, pixels)
    assert again.caption == caption and again.spans == sample.spans
    np.testing.assert_array_equal(pixels, np.asarray(image)[:, ::-1])
    np.testing.assert_array_equal(same, image)


@pytest.mark.parametrize(
    "caption",
    [
        "the left-hand glove",
        "the rightmost tree",
        "a Left-Handed man",
        "the far-left door",
        "dog_left_02.jpg",
        "LEFTWARDS",
        "Ann (L) and Bo (R)",
        "Ann, Bo (L-R)",
        "l to r: Ann, Bo",
        "a cup left of the rightmost plate",
        "a righty on the left",
    ],
)
def test_a_caption_that_names_a_side_in_another_form_is_not_flipped(caption: str) -> None:
    given = captioned(caption, caption[:3])
    assert [after is before for after, before in zip(mirror(*given), given, strict=True)] == [True] * len(given)


def test_a_span_that_cuts_a_side_is_not_moved() -> None:
    given = captioned("a cup on the left", "the le")
    assert [after is before for after, before in zip(mirror(*given), given, strict=True)] == [True] * len(given)


def test_detection_prompt_names_every_object_and_only_adds_absent_ones() -> None:
    sets = SceneSet("web", 0, 1000)
    vocabulary = sets.vocabulary()
    for index in range(20):
        sample = sets.sample(index)
        prompt = detection_prompt(sample, vocabulary, 30, np.random.default_rng(index))
        present = {name for name, _ in sample.objects}
        names = prompt.caption.split(". ")
        assert present <= set(names) <= set(vocabulary) and len(names) == len(set(names)) <= len(present) + 30
        assert sorted(named(prompt)) == sorted((name, tuple(map(float, box))) for name, box in sample.objects)


def shown(*categories: str) -> TrainingSample:
    """A sample without a caption, with an object of each category."""
    sample = SceneSet("web", 0, 1).sample(0)
    return replace(
        sample, caption="", spans=(), objects=tuple((name, (i, 0, i + 9, 9)) for i, name in enumerate(categories))
    )


LONG = [f"wide_{i}_handled (big {i}) serving__spoon" for i in range(100)]  # of seven tokens and more each


def test_detection_prompt_has_the_names_of_inference_and_room_for_what_is_in_the_image() -> None:
    clean = {clean_category(name) for name in LONG}
    assert len(clean) == 100 and not any("_" in name or "(" in name for name in clean)
    fullest = 0
    for seed in range(20):
        sample = shown(*(LONG[i] for i in np.random.default_rng(seed).integers(100, size=12)))
        prompt = detection_prompt(sample, LONG, 85, np.random.default_rng(seed))
        assert [text for text, _ in named(prompt)] == [clean_category(name) for name, _ in sample.objects]
        assert prompt.boxes.tolist() == [list(map(float, box)) for _, box in sample.objects]
        ids, tokens = truncated(prompt.caption, prompt.spans)
        assert len(ids) == len(encode(prompt.caption)) <= MAX_TOKENS and all(tokens)
        names = prompt.caption.split(". ")
        assert len(set(names)) == len(names) and set(names) <= clean
        fullest = max(fullest, len(ids))
    assert fullest > MAX_TOKENS - 16  # a name more would not fit


def test_categories_whose_names_become_equal_are_one() -> None:
    vocabulary = ["bow_(weapon)", "bow_(ribbon)", "hot_dog", "hot dog", "cup"]
    prompt = detection_prompt(shown("bow_(ribbon)", "hot_dog", "bow_(weapon)"), vocabulary, 5, np.random.default_rng(0))
    assert sorted(prompt.caption.split(". ")) in (["bow ", "cup", "hot dog"], ["bow ", "hot dog"])
    assert [text for text, _ in named(prompt)] == ["bow ", "hot dog", "bow "]
    assert detection_prompt(shown("hot_dog"), ["hot_dog", "hot dog"], 5, np.random.default_rng(0)).caption == "hot dog"


def test_a_prompt_may_be_full_to_the_last_token_and_more_objects_than_fit_leave_no_room() -> None:
    """127 names of one token, with full stops between them, [CLS] and [SEP]: 127 + 126 + 2 = 255."""
    words = list(substitute_words()[:139])
    for own, length in ((words[0], 255), ("two words", 256)):
        prompts = [detection_prompt(shown(own), words, 139, np.random.default_rng(seed)) for seed in range(8)]
        assert max(len(encode(prompt.caption)) for prompt in prompts) == length
        assert max(len(prompt.spans) for prompt in prompts) == 127
    crowded = detection_prompt(shown(*words[:130]), words, 139, np.random.default_rng(1))
    _, tokens = truncated(crowded.caption, crowded.spans)
    assert len(crowded.spans) == 130 and sum(map(bool, tokens)) == 127
    assert [text for text, _ in named(crowded)] == words[:130]


def test_a_phrase_prompt_asks_for_what_was_grounded_among_phrases_of_others() -> None:
    others = {"wug": ["two wugs"], "dog": ["A Dog"] * 40 + ["the dogs"], "car": ["an old car"], "cat": ["one more cat"]}
    others |= {"road": ["a long " * 200 + "road"]}
    assert {shortened("an old car 350", np.random.default_rng(seed)) for seed in range(40)} == {
        *("an old car 350", "old car 350", "car 350"),  # never the number alone
    }
    seen: Counter[str] = Counter()
    for seed in range(400):
        sample = scene_sample(seed % 20)
        sample = sample.keep(sample.phrase != 0)  # the first phrase lost its boxes
        prompt = phrase_prompt(sample, others, 2, np.random.default_rng(seed))
        if not len(sample.boxes):
            assert prompt is sample
            continue
        for (asked, now), (whole, box) in zip(named(prompt), named(sample), strict=True):
            last = singular(whole.split()[-1].lower())
            assert now == box and (
                (" " + whole).endswith(" " + asked) or asked == last
            )  # the same boxes, its last words
        names = prompt.caption.split(". ")
        own = {name for name, _ in named(prompt)}
        added = [name for name in names if name not in own]
        assert [prompt.caption[start:end] for ((start, end),) in prompt.spans] == names and own <= set(names)
        assert len(added) <= 2
        nouns = [singular(name.split()[-1].lower()) for name in added]
        for name, noun in zip(added, nouns, strict=True):
            assert name == noun or any(f" {text}".endswith(f" {name}") for text in others[noun])
        mine = {singular(sample.caption[start:end].split()[-1].lower()) for ((start, end),) in sample.spans}
        assert len(set(nouns)) == len(nouns) and not mine & set(nouns)  # nor that of the phrase that has no box
        seen.update(nouns)
    # However often others are named: the forty dogs come no more often than the one cat.
    assert set(seen) == set(others) and max(seen[name] for name in ("wug", "car", "cat")) < 1.5 * seen["dog"]
    assert seen["dog"] < 1.5 * min(seen[name] for name in ("wug", "car", "cat"))


def pseudo_sample(caption: str, phrases: list[str]) -> TrainingSample:
    """A pseudo sample with a box for each of the phrases."""
    starts = [caption.index(text) for text in phrases]
    return TrainingSample(
        key="0",
        image=b"",
        caption=caption,
        spans=tuple(((start, start + len(text)),) for start, text in zip(starts, phrases, strict=True)),
        boxes=np.arange(4 * len(phrases), dtype=np.float32).reshape(-1, 4),
        phrase=np.arange(len(phrases)),
        scores=np.ones(len(phrases), np.float32),
        pseudo=True,
    )


def test_a_phrase_is_as_often_as_not_called_by_its_noun_alone() -> None:
    sample = pseudo_sample("two old wooden houses", ["two old wooden houses"])
    asked = Counter(named(phrase_prompt(sample, {}, 0, np.random.default_rng(i)))[0][0] for i in range(400))
    assert set(asked) == {"house", "houses", "wooden houses", "old wooden houses", "two old wooden houses"}
    assert 160 <= asked["house"] <= 240 and min(asked.values()) >= 30
    others = {"dog": ["a dog"], "cat": ["a cat"]}
    one = pseudo_sample("dogs and two more", ["dogs", "two"])
    prompts = [phrase_prompt(one, others, 2, np.random.default_rng(i)).caption for i in range(60)]
    assert not any("a dog" in text for text in prompts) and any("cat" in text for text in prompts)  # one dog is a dog


def test_phrases_of_one_noun_stay_whole_in_a_phrase_prompt() -> None:
    phrases = ["red cars", "a blue car", "my old house"]
    sample = pseudo_sample("red cars and a blue car by my old house", phrases)
    asked = [[text for text, _ in named(phrase_prompt(sample, {}, 0, np.random.default_rng(i)))] for i in range(60)]
    assert all(texts[:2] == phrases[:2] for texts in asked)
    counts = Counter(texts[2] for texts in asked)
    assert set(counts) == {"house", "old house", "my old house"} and min(counts.values()) >= 4
    one = replace(sample.keep(sample.phrase == 0), phrase=np.zeros(1, np.int64))  # the other car has no box
    assert named(phrase_prompt(one, {}, 0, np.random.default_rng(3)))[0][0] == "red cars"


def test_packed_captions_keep_the_phrases_of_their_own() -> None:
    for index in range(20):
        sample = scene_sample(index)
        packed = pack_captions(sample, ["two dogs", " an old car. "], np.random.default_rng(index))
        assert named(packed) == named(sample)
        assert "two dogs." in packed.caption and "an old car." in packed.caption


def test_packed_captions_leave_room_for_the_words_of_their_own() -> None:
    sample = scene_sample(3)
    long = "an apple " * 120  # 240 tokens: too long beside the caption for more than one
    for seed in range(5):
        packed = pack_captions(sample, [long, "two dogs", long, "a cat"], np.random.default_rng(seed))
        assert len(encode(packed.caption)) <= 256 and "two dogs." in packed.caption and "a cat." in packed.caption
        assert packed.caption.count("apple") in (0, 120) and named(packed) == named(sample)


def test_joined_names_have_exact_spans() -> None:
    caption, spans = join_names(["hot dog", "cup", "tennis racket"])
    assert caption == "hot dog. cup. tennis racket"
    assert [caption[start:end] for ((start, end),) in spans] == ["hot dog", "cup", "tennis racket"]


def test_how_many_captions_are_packed_follows_the_published_draws() -> None:
    rng = np.random.default_rng(0)
    assert {how_many_captions(None, rng) for _ in range(200)} == {1, 2, 3}
    drawn = [how_many_captions(20, rng) for _ in range(4000)]
    assert set(drawn) == set(range(21))
    assert drawn.count(20) / 4000 == pytest.approx(0.5, abs=0.03)
    assert [drawn.count(number) / 4000 for number in range(20)] == pytest.approx([0.025] * 20, abs=0.01)
