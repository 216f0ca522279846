"""Boxes in text: what formats of vision-language models have in common, in the JSON lines of LLaVA-type trainers.

A pair gives one row with the task "caption" (the caption and every box), one "locate" row for each distinct phrase (all
of its boxes are the answer), and one "describe" row for each box (its phrase is the answer). A format says how it
writes boxes, and which prompts it knows.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from schemas.rows import Corners
from stages.export.exporter import Exporter, LabelledImage
from stages.export.json_file import encode
from stages.export.quantise import Size

Task = Literal["caption", "locate", "describe"]

# Brackets of captions become round ones, character by character, so that no caption holds what a tokenizer takes for a
# special token (<image>, <loc0001>, </s>, <|im_end|>) or a reader for a box ([0.1,0.2,0.3,0.4]).
HARMLESS = str.maketrans("<>[]", "()()")
BLANK = {"Cc", "Zs", "Zl", "Zp"}  # Unicode's control characters and separators

# For models that are asked in plain English. {phrase} and {region} are filled in; a format may add how to answer.
CHAT: dict[Task, tuple[str, ...]] = {
    "caption": (
        "Describe this image and give the boxes of what you mention.",
        "What does the image show? Say where each thing is.",
        "Write a caption for this image, with a box for every object in it.",
        "Caption the image and ground each noun phrase with its boxes.",
    ),
    "locate": (
        "Where is {phrase}?",
        "Locate {phrase} in this image.",
        "Find {phrase} and give every box of it.",
        "Give the boxes of {phrase}.",
    ),
    "describe": (
        "What is in the region {region}?",
        "Describe the region {region} in a few words.",
        "Which object does the box {region} show?",
        "Name what lies at {region}.",
    ),
}


@dataclass(frozen=True)
class Mention:
    """A phrase that has boxes, with its place in the caption that is written."""

    start: int
    end: int
    text: str
    boxes: tuple[Corners, ...]


class ConversationsExport(Exporter):
    """conversations.jsonl: `{"id": KEY, "image", "task", "conversations": [{"from", "value"}, ...]}`, and besides the
    upright image's `width` and `height`, `source_id` and `license`. The prompts of a row are drawn by key and `seed`.
    """

    takes = frozenset({"seed"})
    prompts: ClassVar[Mapping[Task, tuple[str, ...]]] = CHAT
    how_to_answer: ClassVar[str] = ""  # follows the prompts of captions and phrases

    def boxes(self, boxes: Sequence[Corners], size: Size) -> str:
        """Boxes of one phrase in the format's own notation."""
        raise NotImplementedError

    def marked(self, text: str, boxes: str) -> str:
        """A phrase with its boxes, as they stand inside a caption."""
        return text + boxes

    def captioned(self, caption: str, mentions: Sequence[Mention], size: Size) -> str:
        """The answer that has the caption and all boxes: each phrase is followed by its own, in its place. A phrase
        that begins inside of another one comes after the caption."""
        written, behind, at = [], [], 0
        for mention in mentions:
            marked = self.marked(mention.text, self.boxes(mention.boxes, size))
            if mention.start < at:
                behind.append(" " + marked)
            else:
                written += [caption[at : mention.start], marked]
                at = mention.end
        return "".join([*written, caption[at:], *behind])

    def located(self, phrase: str, boxes: Sequence[Corners], size: Size) -> str:
        """The answer to where a phrase is."""
        return self.boxes(boxes, size)

    def described(self, phrase: str, box: Corners, size: Size) -> str:
        """The answer to what lies in a box."""
        return phrase

    def begin(self) -> None:
        self._file = self.open("conversations.jsonl")

    def write(self, image: LabelledImage) -> None:
        for task, question, answer in self._turns(image):
            turns = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]
            row = {"id": image.key, "image": image.file_name, "task": task, "conversations": turns}
            about: dict[str, Any] = {"width": image.width, "height": image.height}
            about |= {"source_id": image.pair.source_id, "license": image.pair.license}
            self._file.write(encode(row | about) + b"\n")

    def _turns(self, image: LabelledImage) -> Iterator[tuple[Task, str, str]]:
        caption, mentions = spoken(image)
        size = image.width, image.height
        prompt = self._prompt(image.key, "caption", 0)
        yield "caption", prompt.format(caption=caption), self.captioned(caption, mentions, size)
        for number, (phrase, boxes) in enumerate(by_text(mentions)):
            prompt = self._prompt(image.key, "locate", number)
            yield "locate", prompt.format(phrase=phrase), self.located(phrase, boxes, size)
        every_box = [(mention.text, box) for mention in mentions for box in mention.boxes]
        for number, (phrase, box) in enumerate(every_box):
            prompt = self._prompt(image.key, "describe", number)
            yield "describe", prompt.format(region=self.boxes([box], size)), self.described(phrase, box, size)

    def _prompt(self, key: str, task: Task, number: int) -> str:
        prompts = self.prompts[task]
        drawn = hashlib.blake2b(f"{self.options.seed} {key} {task} {number}".encode(), digest_size=8).digest()
        prompt = prompts[int.from_bytes(drawn) % len(prompts)]
        return prompt if task == "describe" else prompt + self.how_to_answer


def spoken(image: LabelledImage) -> tuple[str, list[Mention]]:
    """The caption as it is written, and its phrases in their order: harmless, on one line, without outer spaces."""
    plain = "".join(" " if unicodedata.category(c) in BLANK else c for c in image.caption).translate(HARMLESS)
    shift = len(plain) - len(plain.lstrip())
    plain = plain.strip()
    mentions = []
    for phrase, boxes in image.by_phrase():
        start, end = (min(max(place - shift, 0), len(plain)) for place in (phrase.start, phrase.end))
        corners = tuple(box.corners for box in boxes)
        mentions.append(Mention(start, end, plain[start:end], corners))
    return plain, sorted(mentions, key=lambda mention: (mention.start, mention.end))


def by_text(mentions: Sequence[Mention]) -> Iterator[tuple[str, list[Corners]]]:
    """Distinct phrases with the boxes of all places where they stand: asked for "a man", a model gives every one."""
    found: dict[str, tuple[str, dict[Corners, None]]] = {}
    for mention in mentions:
        _, boxes = found.setdefault(mention.text.casefold(), (mention.text, {}))
        boxes.update(dict.fromkeys(mention.boxes))
    for text, boxes in found.values():
        yield text, list(boxes)
