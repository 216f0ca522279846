"""Each format of conversations, read back by a model of its reader: every box once, and hostile captions stay text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.export.formats import export as write
from stages.stage import UserError
from tests.stages.export.creating import creates
from tests.stages.export.exported import Exported
from tests.stages.export.hostile_run import Truth, hostile_run, read_rows, truths, turns
from tests.stages.export.odd_run import CAPTIONS, odd_run, store_images
from tests.stages.export.readers import Reading, pixels
from tests.stages.export.test_readers import wrong_pixels
from tests.stages.export.text_readers import TEXT_READERS, Size, TextReader, without_boxes

EVERY = list(truths())
GROUNDED = [one for one in EVERY if max(one.size) <= 200 * min(one.size)]  # those that every format carries
INLINE = ("kosmos-2", "shikra", "ferret")  # formats whose boxes stand inside of the caption


@pytest.fixture
def run(tmp_path: Path) -> Any:
    return hostile_run(tmp_path / "run")


def spoken(text: str) -> str:
    """A caption as it is written: one line, round brackets, no outer spaces."""
    kinds = {"<": "(", ">": ")", "[": "(", "]": ")", "\n": " ", "\x85": " ", "\u2028": " "}
    return "".join(kinds.get(c, c) for c in text).strip()


def held(format: str) -> list[Truth]:
    """The pairs that a format carries: Qwen2.5-VL's processor refuses images of more than 200 times the width."""
    return GROUNDED if format == "qwen2.5-vl" else EVERY


def assert_same(reader: TextReader, found: list[tuple[str, Any]], expected: list[tuple[str, Any]], size: Size) -> None:
    assert len(found) == len(expected) > 0
    limits = reader.step(size) * 2
    for (phrase, corners), (text, box) in zip(found, expected):
        said, written = (words.replace(";", ",").strip() for words in (phrase, spoken(text)))  # as PaliGemma has to
        assert said == written if reader.whole_phrases else said.endswith(written)
        assert all(abs(a - b) <= limit for a, b, limit in zip(corners, box, limits, strict=True)), (phrase, corners)


def test_every_kind_of_sample_is_there() -> None:
    assert len(EVERY) == 7 and max(len(one.boxes) for one in EVERY) == 3
    assert {one.key for one in EVERY} - {one.key for one in GROUNDED} == {"000000000007"}


@pytest.mark.parametrize("format", TEXT_READERS)
def test_a_caption_has_every_box_once(exported: Callable[..., Exported], format: str) -> None:
    rows, reader = read_rows(exported(format).folder), TEXT_READERS[format]
    assert {row["id"] for row in rows} == {one.key for one in held(format)}
    for one in GROUNDED:
        [(question, answer)] = turns(rows, one.key, "caption")
        assert_same(reader, reader.read(answer, one.size), one.boxes, one.size)
        behind = " a field" if format in INLINE and one.caption == "a dog in a field" else ""  # it lies in a phrase
        assert without_boxes(format, question, answer) == spoken(one.caption) + behind


@pytest.mark.parametrize("format", TEXT_READERS)
def test_a_phrase_is_located_by_all_of_its_boxes(exported: Callable[..., Exported], format: str) -> None:
    rows, reader = read_rows(exported(format).folder), TEXT_READERS[format]
    for one in GROUNDED:
        distinct: dict[str, list[Any]] = {}
        for text, box in one.boxes:
            own = distinct.setdefault(text.lower(), [])
            own += [] if box in own else [box]
        asked = turns(rows, one.key, "locate")
        assert len(asked) == len(distinct) > 0
        for (question, answer), (text, boxes) in zip(asked, distinct.items()):
            assert spoken(text) in question.lower()
            named = reader.read(answer, one.size)
            unnamed = format in ("kosmos-2", "shikra")  # the answer is boxes alone
            assert_same(
                TextReader(reader.read, reader.step, whole_phrases=False),
                [("" if unnamed else phrase.lower(), corners) for phrase, corners in named],
                [("" if unnamed else text, box) for box in boxes],
                one.size,
            )


@pytest.mark.parametrize("format", TEXT_READERS)
def test_a_region_is_described_by_its_phrase(exported: Callable[..., Exported], format: str) -> None:
    rows = read_rows(exported(format).folder)
    for one in GROUNDED:
        asked = turns(rows, one.key, "describe")
        assert len(asked) == len(one.boxes) > 0
        answers = [answer.split("<loc_")[0] for _, answer in asked]
        assert answers == [spoken(text) for text, _ in one.boxes]


@pytest.mark.parametrize("format", TEXT_READERS)
def test_nothing_in_a_caption_is_a_token_or_an_image(exported: Callable[..., Exported], format: str) -> None:
    """One image placeholder in each question, none in an answer; a token occurs where we put it and nowhere else."""
    rows = read_rows(exported(format).folder)
    assert len(rows) > 20, rows
    for row in rows:
        human, gpt = (turn["value"] for turn in row["conversations"])
        assert human.startswith("<image>\n") and (human + gpt).count("<image>") == 1
        for token in ("</s>", "<|im_end|>", "<box>", "<b>", "<loc_5>\u0020", "<patch_index_0001> "):
            assert token not in human + gpt


@pytest.mark.parametrize("format", TEXT_READERS)
def test_rows_say_what_they_are_of(exported: Callable[..., Exported], format: str) -> None:
    export = exported(format)
    rows = read_rows(export.folder)
    assert rows
    for row in rows:
        number = int(row["id"])
        assert list(row) == ["id", "image", "task", "conversations", "width", "height", "source_id", "license"]
        assert (row["source_id"], row["license"]) == (f"web/{number}", "CC0" if number % 2 else None)
        assert pixels(export.path(row["image"])).shape[:2] == (row["height"], row["width"])
    assert export.result["boxes"] == sum(len(one.boxes) for one in held(format))


def test_prompts_are_drawn_by_key_and_seed(run: Any, exported: Callable[..., Exported], tmp_path: Path) -> None:
    def questions(folder: str, **options: Any) -> list[str]:
        write(run.all_parts(), "qwen3-vl", creates(tmp_path / folder), config=run.config, **options)
        return [row["conversations"][0]["value"] for row in read_rows(tmp_path / folder)]

    first, again, other = questions("a"), questions("b", seed=0), questions("c", seed=1)
    assert first == again != other and len(set(first)) > 8


def test_an_option_of_other_formats_is_an_error(exported: Callable[..., Exported]) -> None:
    with pytest.raises(UserError, match="--max-pixels means nothing to the format qwen3-vl"):
        exported("qwen3-vl", max_pixels=1000)
    with pytest.raises(UserError, match="--seed means nothing to the format coco"):
        exported("coco", seed=1)


@pytest.mark.parametrize("format", TEXT_READERS)
def test_boxes_lie_on_what_they_name_in_turned_images(tmp_path: Path, format: str) -> None:
    """EXIF-turned and shared images of the odd run, opened without turning; the half pixel at the edge is too thin to
    see, and has a test of its own above."""
    odd = odd_run(tmp_path / "odd")
    store_images(odd)
    write(odd.all_parts(), format, creates(tmp_path / "out"), config=odd.config)
    rows = [row for row in read_rows(tmp_path / "out") if row["task"] == "locate"]
    assert len({row["id"] for row in rows}) == len(CAPTIONS)
    for row in rows:
        opened = pixels(tmp_path / "out" / row["image"])
        size = opened.shape[1], opened.shape[0]
        phrase = next(text for text in PHRASES if text in row["conversations"][0]["value"])
        boxes = [corners for _, corners in TEXT_READERS[format].read(row["conversations"][1]["value"], size)]
        if phrase.endswith("corner"):
            assert wrong_pixels(Reading(opened, "", [(inner(box), phrase) for box in boxes])) == []


PHRASES = [f"{colour} {thing}" for colour in ("red", "green", "blue", "yellow") for thing in ("corner", "edge")]


def inner(box: tuple[float, ...]) -> Any:
    """The middle half of a box: quantised corners may reach over the edge of what it covers."""
    x1, y1, x2, y2 = box
    dx, dy = (x2 - x1) / 4, (y2 - y1) / 4
    return x1 + dx, y1 + dy, x2 - dx, y2 - dy
