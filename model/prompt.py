"""Captions and category names to tokens: tokenizer, spans to token positions, prompts that fit the text encoder."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from tokenizers import Encoding, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing
from torch import Tensor

from model.device import send
from model.teacher import NO_TOKENS, OVER_LIMIT, Span, Work

VOCABULARY = Path(__file__).parent / "vocab" / "bert-base-uncased.txt"
MAX_TOKENS = 256  # of a prompt, [CLS] and [SEP] included
SEPARATOR = ". "  # between the category names of a detection prompt
SENTENCE_ENDS = frozenset(".!?;")


@dataclass(frozen=True)
class Prompt:
    """One input of the text encoder and what is looked for in it."""

    ids: list[int]  # token ids with [CLS] and [SEP], at most 256
    phrases: list[int]  # indices of the caller's phrases
    tokens: list[list[int]]  # of each of these phrases, its positions in ids


@dataclass(frozen=True)
class Reader:
    """How a text encoder reads: the tokens of a text, between two special ones, and how many it takes at a time."""

    encode: Callable[[str], Encoding]
    max_tokens: int  # of a prompt, with all that is added to a text
    end: tuple[int, ...] = ()  # tokens that each prompt ends with, before the last special one

    @property
    def room(self) -> int:
        """Tokens of a text that fit into a prompt."""
        return self.max_tokens - 2 - len(self.end)

    def closed(self, ids: Sequence[int]) -> list[int]:
        """The ids of a prompt with its end, given those between and with the special ones."""
        return [*ids[:-1], *self.end, ids[-1]]


@lru_cache(maxsize=1)
def tokenizer() -> Tokenizer:
    """WordPiece with the bert-base-uncased vocabulary: lower case, accents stripped; adds [CLS] and [SEP]."""
    words = VOCABULARY.read_text(encoding="utf-8").rstrip("\n").split("\n")
    made = Tokenizer(WordPiece({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer = BertNormalizer(lowercase=True)
    made.pre_tokenizer = BertPreTokenizer()
    made.post_processor = BertProcessing(("[SEP]", words.index("[SEP]")), ("[CLS]", words.index("[CLS]")))
    return made


def encode(caption: str) -> Encoding:
    """The whole caption, however long, with [CLS] and [SEP]."""
    return tokenizer().encode(encodable(caption))


def encodable(text: str) -> str:
    """The text, of the same length, with U+FFFD for lone surrogates, which have no UTF-8."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


GLIP = Reader(encode, MAX_TOKENS)


def token_positions(encoding: Encoding, spans: Sequence[Span]) -> list[int]:
    """Positions of the tokens that character spans [start, end) cover: the union over the spans, rising.

    A span runs from the token of its first character to that of its last. Where that character has no token (a space),
    the two after the first, or before the last, are tried; a span that has none is skipped.
    """
    positions: set[int] = set()
    for start, end in spans:
        if start >= end:
            continue
        first = _first_token(encoding, range(start, start + 3))
        last = _first_token(encoding, range(end - 1, end - 4, -1))
        if first is not None and last is not None:
            positions.update(range(first, last + 1))
    return sorted(positions)


def _first_token(encoding: Encoding, characters: range) -> int | None:
    tokens = (encoding.char_to_token(character) for character in characters if character >= 0)
    return next((token for token in tokens if token is not None), None)


def caption_prompts(caption: str, spans: Sequence[Sequence[Span]], reader: Reader = GLIP) -> Work[Prompt]:
    """The prompts in which a caption's phrases are grounded, and the phrases dropped with the reason.

    A caption that fits is one prompt, unchanged. A longer one is cut where no phrase is cut, at the end of a sentence
    where there is one; only a phrase whose tokens lie further apart than a prompt is long is dropped.
    """
    encoding = reader.encode(caption)
    fits = len(encoding) - 2 <= reader.room
    dropped, extents = [], {}
    for phrase, own in enumerate(spans):
        tokens = token_positions(encoding, own)
        if not tokens:
            dropped.append((phrase, NO_TOKENS))
        elif not fits and tokens[-1] - tokens[0] >= reader.room:
            dropped.append((phrase, OVER_LIMIT))
        else:
            extents[phrase] = tokens
    if not extents:
        return Work([], dropped)
    if fits:
        return Work([Prompt(reader.closed(encoding.ids), list(extents), list(extents.values()))], dropped)
    return Work(_split(encoding, extents, reader), dropped)


def _split(encoding: Encoding, extents: dict[int, list[int]], reader: Reader) -> list[Prompt]:
    """Windows over a long caption, so that each phrase lies whole in one of them."""
    ids, room, end = encoding.ids, reader.room, len(encoding) - 1  # tokens 1 .. end - 1 are the caption's
    ranks = _border_ranks(encoding, extents)
    windows, start = [], 1
    while start < end:
        stop = min(start + room, end)
        if stop < end:
            stop = max(range(start + 1, stop + 1), key=lambda border: (ranks[border], border))
        windows.append((start, stop))
        start = stop
    prompts, left = [], dict(extents)
    while left:
        if windows:
            start, stop = windows.pop(0)
        else:  # only phrases that were cut are left: from the first of them on
            start = min(own[0] for own in left.values())
            stop = min(start + room, end)
        inside = {phrase: own for phrase, own in left.items() if start <= own[0] and own[-1] < stop}
        left = {phrase: own for phrase, own in left.items() if phrase not in inside}
        if inside:
            tokens = [[token - start + 1 for token in own] for own in inside.values()]
            prompts.append(Prompt(reader.closed([ids[0], *ids[start:stop], ids[-1]]), list(inside), tokens))
    return prompts


def _border_ranks(encoding: Encoding, extents: dict[int, list[int]]) -> list[int]:
    """How good each token is to begin a prompt with: 0 within a word, 1 within a phrase, 2 fine, 3 a sentence."""
    tokens, words = encoding.tokens, encoding.word_ids
    ranks = [0, *(3 if tokens[i - 1] in SENTENCE_ENDS else 2 for i in range(1, len(tokens)))]
    for own in extents.values():
        for border in range(own[0] + 1, own[-1] + 1):
            ranks[border] = 1
    return [rank if i and words[i] != words[i - 1] else 0 for i, rank in enumerate(ranks)]


def clean_category(name: str) -> str:
    """A category name as official prompts carry it: `_` and double spaces as one space, no parenthesised part.

    Of a name with two such parts, what lies between them goes too, as published.
    """
    return re.sub(r"\(.*\)", "", name).replace("_", " ").replace("  ", " ")


def category_caption(categories: Sequence[str]) -> tuple[str, list[list[Span]]]:
    """One detection caption, "person. dog. ...", and the span of every category in it."""
    names = [clean_category(name) for name in categories]
    spans, start = [], 0
    for name in names:
        spans.append([(start, start + len(name))])
        start += len(name) + len(SEPARATOR)
    return SEPARATOR.join(names), spans


@dataclass(frozen=True)
class CategoryPrompt:
    """How a category is asked for: the phrase is `name`; `prefix` and `suffix` say more about it."""

    name: str
    prefix: str = ""
    suffix: str = ""

    def __str__(self) -> str:
        return f"{self.prefix}{self.name}{self.suffix}"


@dataclass(frozen=True)
class CategoryList:
    """Categories, by the names that data has for them, and how each is asked for: all in one prompt, in this order."""

    names: tuple[str, ...]
    prompts: tuple[CategoryPrompt, ...]
    alone: bool = False  # what is tuned acts on these alone; other categories are asked of the base model

    @classmethod
    def of(cls, names: Sequence[str], prompts: Sequence[CategoryPrompt] = ()) -> CategoryList:
        """Without prompts, categories are asked for by their names, as in any detection prompt.

        Raises ValueError for names that are not each its own, and for a text that is too long for one prompt.
        """
        asked = tuple(prompts) or tuple(CategoryPrompt(clean_category(name)) for name in names)
        if len(asked) != len(names):
            raise ValueError(f"{len(asked)} prompts for the {len(names)} categories {', '.join(names)}")
        if len(set(names)) < len(names):
            raise ValueError(f"two categories have the same name: {', '.join(sorted(names))}")
        found = cls(tuple(names), asked)
        if len(encode(found.caption)) > MAX_TOKENS:
            raise ValueError(f"the prompts of {len(names)} categories have no room in {MAX_TOKENS} tokens")
        empty = [name for name, spans in zip(names, found.spans) if not token_positions(encode(found.caption), spans)]
        if empty:
            raise ValueError(f"the prompt of {empty[0]!r} has no name to look for")
        return found

    @property
    def caption(self) -> str:
        return SEPARATOR.join(map(str, self.prompts))

    @property
    def spans(self) -> list[list[Span]]:
        """Of each category's name in the caption."""
        found, at = [], 0
        for prompt in self.prompts:
            start = at + len(prompt.prefix)
            found.append([(start, start + len(prompt.name))])
            at += len(str(prompt)) + len(SEPARATOR)
        return found

    def work(self, categories: Sequence[str]) -> Work[Prompt]:
        """What is looked for where some of these categories are asked for, in any order."""
        return caption_prompts(self.caption, [self.spans[self.names.index(name)] for name in categories])


def category_prompts(categories: Sequence[str], per_prompt: int | None = None, reader: Reader = GLIP) -> Work[Prompt]:
    """Detection prompts for any number of categories: as many in each as fit, or at most per_prompt."""
    prompts: list[Prompt] = []
    dropped: list[tuple[int, str]] = []
    taken: list[int] = []
    room = reader.room

    def close() -> None:
        if taken:
            caption, spans = category_caption([categories[index] for index in taken])
            (prompt,), _ = caption_prompts(caption, spans, reader)
            prompts.append(Prompt(prompt.ids, [taken[phrase] for phrase in prompt.phrases], prompt.tokens))

    for index, name in enumerate(categories):
        clean = clean_category(name)
        encoding = reader.encode(clean)
        size = len(encoding) - 2
        if size > reader.room or not token_positions(encoding, [(0, len(clean))]):
            dropped.append((index, OVER_LIMIT if size > reader.room else NO_TOKENS))
            continue
        cost = size + (1 if taken else 0)  # the separator's full stop
        if cost > room or len(taken) == per_prompt:
            close()
            taken, room, cost = [], reader.room, size
        taken.append(index)
        room -= cost
    close()
    return Work(prompts, dropped)


def pad(ids: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Token ids of a batch -> input_ids and attention_mask (B, L), padded to the longest."""
    length = max(len(own) for own in ids)
    rows = torch.tensor([[*own, *[0] * (length - len(own))] for own in ids])
    mask = torch.tensor([[1] * len(own) + [0] * (length - len(own)) for own in ids])
    return send(rows, device), send(mask, device)


def truncated(caption: str, spans: Sequence[Sequence[Span]]) -> tuple[list[int], list[list[int]]]:
    """For training: the caption cut at 256 tokens, and each phrase's positions in what is left (possibly none)."""
    encoding = encode(caption)
    if len(encoding) > MAX_TOKENS:
        sep = encoding.ids[-1]
        encoding.truncate(MAX_TOKENS - 1)
        return [*encoding.ids, sep], [token_positions(encoding, own) for own in spans]
    return encoding.ids, [token_positions(encoding, own) for own in spans]
