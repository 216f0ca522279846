"""What is particular to Grounding DINO: the traps of its text, each shown on the network itself, and avoided."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model import teachers
from model.prompt import Prompt
from model.scheduler import Scheduler
from model.teacher import OVER_LIMIT, TeacherError
from model.teachers.grounding_dino import STOP, GroundingDino, lower
from schemas.config import LabelConfig
from tests.model.teachers.conftest import Folder, Open

FAMILIES = ["grounding-dino", "mm-grounding-dino"]
SEP = 102
both = pytest.mark.parametrize("family", FAMILIES)


def detector_of(open_family: Open, family: str) -> GroundingDino:
    detector = open_family(family).detector
    assert isinstance(detector, GroundingDino)
    return detector


def scores(detector: GroundingDino, prompts: list[Prompt]) -> torch.Tensor:
    """(b, Q, K) for one image of noise."""
    pixels = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(3)).expand(len(prompts), -1, -1, -1)
    with torch.inference_mode():
        return detector.predict(pixels, list(range(len(prompts))), prompts).scores


def open_library(folder: Path) -> Any:
    """The library's own processor."""
    import transformers

    t: Any = transformers
    images = t.GroundingDinoImageProcessorPil.from_pretrained(folder)
    return t.GroundingDinoProcessor(images, t.AutoTokenizer.from_pretrained(folder))


def read(detector: GroundingDino, caption: str, phrase: str) -> Prompt:
    start = caption.index(phrase)
    (prompt,) = detector.caption_work(caption, [[(start, start + len(phrase))]]).prompts
    return prompt


@both
@pytest.mark.parametrize("caption", ["a dog", "a dog.", "a dog? a cat", "two dogs and a cat ."])
def test_every_prompt_ends_with_a_full_stop_of_its_own(family: str, open_family: Open, caption: str) -> None:
    detector = detector_of(open_family, family)
    assert read(detector, caption, "dog").ids == detector.tokenizer(f"{caption} .").ids
    assert read(detector, caption, "dog").ids[-2:] == [STOP, SEP]
    assert detector.category_work(["dog", "cat"]).prompts[0].ids == detector.tokenizer("dog. cat .").ids


@both
def test_text_without_a_delimiter_at_its_end_would_depend_on_its_padding(family: str, open_family: Open) -> None:
    detector = detector_of(open_family, family)
    ours, longer = read(detector, "a red dog", "a red dog"), read(detector, "a dog. a cat. two cows", "a dog")
    bare = Prompt([*ours.ids[:-2], SEP], ours.phrases, ours.tokens)  # without the full stop
    for prompt, moved in ((ours, False), (bare, True)):
        alone, padded = scores(detector, [prompt])[0], scores(detector, [prompt, longer])[0]
        difference = float((alone - padded).abs().max())
        assert (difference > 1e-3) if moved else (difference < 1e-5)


@both
def test_prompts_of_different_lengths_share_a_batch(family: str, folder_of: Folder, open_family: Open) -> None:
    detector = detector_of(open_family, family)
    prompts = [read(detector, caption, "dog") for caption in ("dog", "a dog and a cat", "a cow. a dog. two cats")]
    together = scores(detector, prompts)
    assert len({len(prompt.ids) for prompt in prompts}) == 3
    with pytest.raises(ValueError, match="padding"):  # the library asks for it only here
        open_library(folder_of(family))(text=["a dog.", "a dog and a cat."], return_tensors="pt")
    for row, prompt in enumerate(prompts):
        torch.testing.assert_close(together[row], scores(detector, [prompt])[0], atol=1e-5, rtol=0)


@both
def test_captions_of_two_images_are_two_prompts(
    family: str, folder_of: Folder, open_family: Open, images: list[np.ndarray]
) -> None:
    """Of a list of texts without full stops, the library's processor makes one."""
    assert open_library(folder_of(family))(text=["a cat", "dog"], return_tensors="pt")["input_ids"].shape[0] == 1
    scheduler = Scheduler(open_family(family))
    together = scheduler.ground([images[0], images[2]], ["a cat", "dog"], [[[(0, 5)]], [[(0, 3)]]], 0.2)
    assert scheduler.batches == [[0, 1]]
    for number, (caption, found) in enumerate(zip(("a cat", "dog"), together, strict=True)):
        (alone,) = scheduler.ground([images[number * 2]], [caption], [[[(0, len(caption))]]], 0.2)
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-4)


@both
def test_only_images_of_one_size_share_a_batch(family: str, open_family: Open) -> None:
    """Padding moves scores, as it does here: the backbone does not know of the mask."""
    teacher = open_family(family)
    detector = detector_of(open_family, family)
    ids = torch.tensor([read(detector, "a red dog", "a red dog").ids])
    small = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(3))
    beside = torch.nn.functional.pad(small, (0, 64))  # as beside an image of 96 x 160
    with torch.inference_mode():
        alone, padded = (
            detector.model(
                pixels,
                ids,
                pixel_mask=(torch.arange(pixels.shape[3]) < 96).long().expand(1, 96, -1),
                attention_mask=torch.ones_like(ids),
            ).logits.sigmoid()
            for pixels in (small, beside)
        )
    assert float((alone.max(1).values - padded.max(1).values).abs().max()) > 1e-3
    prompts = teacher.category_work(["dog"]).prompts
    assert teacher.bucket((80, 100), prompts) == teacher.bucket((160, 200), prompts)
    assert teacher.bucket((80, 100), prompts) != teacher.bucket((80, 101), prompts)


@both
def test_a_long_caption_is_split_at_its_sentences_and_loses_only_what_fits_nowhere(
    family: str, open_family: Open, images: list[np.ndarray]
) -> None:
    """The library cuts the text but not its mask, and fails."""
    limit = 24  # max_text_len of the checkpoints
    caption = "A red dog sits by the old green door of a house. Two white cats look at a tall tree. " + "very " * 22
    spans = [
        [match.span()] for match in re.finditer("A red dog|the old green door|Two white cats|a tall tree", caption)
    ]
    spans.append([(caption.index("very"), len(caption) - 1)])
    work = detector_of(open_family, family).caption_work(caption, spans)
    assert list(work.dropped) == [(4, OVER_LIMIT)]
    assert [list(prompt.phrases) for prompt in work.prompts] == [[0, 1], [2, 3]]
    detector = detector_of(open_family, family)
    for prompt, sentence in zip(work.prompts, caption.split(". "), strict=False):
        assert len(prompt.ids) <= limit and prompt.ids[-2:] == [STOP, SEP]
        assert prompt.ids == detector.tokenizer(f"{sentence}. .").ids
    (found,) = Scheduler(open_family(family)).ground(images[:1], [caption], [spans], 0.2)
    assert set(found.phrase.tolist()) == {0, 1, 2, 3} and found.dropped == [(4, OVER_LIMIT)]
    ids = torch.tensor([detector.tokenizer(caption).ids])
    with pytest.raises(RuntimeError):
        detector.model(torch.randn(1, 3, 96, 96), ids, attention_mask=torch.ones_like(ids))


@both
def test_a_phrase_of_several_spans_is_the_mean_over_all_of_them(family: str, open_family: Open) -> None:
    detector = detector_of(open_family, family)
    caption = "a dog and a cat"
    (prompt,) = detector.caption_work(caption, [[(0, 5), (10, 15)], [(0, 5)], [(10, 15)]]).prompts
    (found,) = scores(detector, [prompt])
    torch.testing.assert_close(found[:, 0], found[:, 1:].mean(dim=1))


@both
def test_special_tokens_in_a_caption_are_plain_text(family: str, open_family: Open) -> None:
    detector = detector_of(open_family, family)
    ids = read(detector, "a dog [SEP] a [CLS] cat", "dog").ids
    assert ids.count(SEP) == 1 and ids.count(101) == 1
    assert read(detector, "a dog \ud800 x", "dog").ids[-2:] == [STOP, SEP]


def test_lower_case_moves_no_character() -> None:
    assert lower("A Red DOG") == "a red dog"
    assert lower("İstanbul in ΣΑΣ") == "İstanbul in σασ" and len("İ".lower()) == 2


@both
def test_the_backbone_sees_a_batch_once(family: str, folder_of: Folder, images: list[np.ndarray]) -> None:
    label = LabelConfig(teacher="transformers", weights=str(folder_of(family)), device="cpu")
    teacher = teachers.open_teacher(label)
    remembering = teacher.detector.model.model.backbone.conv_encoder
    calls = []
    remembering.backbone.register_forward_hook(lambda *_: calls.append(1))
    Scheduler(teacher).detect([images[0], images[2]], ["dog", "cat", "cow"], 0.2, per_prompt=1)
    assert len(calls) == 1
    Scheduler(teacher).detect(images[1:2], ["dog"], 0.2)
    assert len(calls) == 2


def test_a_vocabulary_that_the_network_does_not_know_is_refused(folder_of: Folder, tmp_path: Path) -> None:
    folder = shutil.copytree(folder_of("grounding-dino"), tmp_path / "other")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["."], vocabulary["?"] = vocabulary["?"], vocabulary["."]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    label = LabelConfig(teacher="transformers", weights=str(folder), device="cpu")
    with pytest.raises(
        TeacherError, match=r"a full stop is \[1029\] in its vocabulary; Grounding DINO knows it as 1012"
    ):
        teachers.open_teacher(label)
