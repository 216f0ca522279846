"""Augmentation keeps boxes and spans on what they name."""

from __future__ import annotations

import numpy as np

from stages.sources.scenes import draw_scene
from stages.training.samples import Sample
from stages.training.sets import SceneSet
from stages.training.transforms import decode, detection_prompt, flip, join_names, pack_captions


def scene_sample(index: int) -> Sample:
    return SceneSet("web", 0, 1000).sample(index)


def named(sample: Sample) -> list[tuple[str, tuple[float, ...]]]:
    """(text of the phrase, box) of every box."""
    return [
        (" ".join(sample.caption[start:end] for start, end in sample.spans[phrase]), tuple(box))
        for phrase, box in zip(sample.phrase.tolist(), sample.boxes.tolist(), strict=True)
    ]


def test_flip_mirrors_pixels_and_boxes_together() -> None:
    index = next(i for i in range(50) if not {"left", "right"} & set(draw_scene("web", 0, i).caption.lower().split()))
    example = decode(scene_sample(index), 10**7)
    mirrored = flip(example)
    for before, after in zip(example.boxes.astype(int), mirrored.boxes.astype(int), strict=True):
        x1, y1, x2, y2 = before
        u1, v1, u2, v2 = after
        np.testing.assert_array_equal(example.image[y1:y2, x1:x2], mirrored.image[v1:v2, u1:u2][:, ::-1])


def test_a_caption_that_names_a_side_is_not_flipped() -> None:
    example = decode(scene_sample(0), 10**7)
    sided = type(example)(**{**example.__dict__, "caption": "a cup on the LEFT of a plate"})
    assert flip(sided) is sided


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


def test_packed_captions_keep_the_phrases_of_their_own() -> None:
    for index in range(20):
        sample = scene_sample(index)
        packed = pack_captions(sample, ["two dogs", " an old car. "], np.random.default_rng(index))
        assert named(packed) == named(sample)
        assert "two dogs." in packed.caption and "an old car." in packed.caption


def test_joined_names_have_exact_spans() -> None:
    caption, spans = join_names(["hot dog", "cup", "tennis racket"])
    assert caption == "hot dog. cup. tennis racket"
    assert [caption[start:end] for ((start, end),) in spans] == ["hot dog", "cup", "tennis racket"]
