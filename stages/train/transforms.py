"""From a stored sample to what the model sees: decoding, mirroring, text made of categories or of several captions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image, Transpose

from model.images import Sides, resize_image, resized_size
from model.prompt import MAX_TOKENS, clean_category, encode
from stages.frames import to_upright
from stages.geometry import box_array, clip
from stages.image_headers import read_header
from stages.images import open_rgb
from stages.train.samples import Example, Spans, TrainingSample
from stages.train.wording import WORD, exchange, noun

# "left" and "right" as words of their own, in any case.
SIDE = re.compile(r"(?<![\w-])(?:left|right)(?![\w-])", re.IGNORECASE)
# A side in another form: left-hand, far-left, rightmost, img_left_2, (L), L to R. "rights" or "leftover" name none.
OTHER_SIDE = re.compile(
    r"(?<![a-z])(?:left|right)(?!s\b|ly\b|ful|eous|over)|\([lr]\)|\bl(?:-| to )r\b",
    re.IGNORECASE,
)


def decode(sample: TrainingSample, max_pixels: int, sides: Sides = (None, None), mirrored: bool = False) -> Example:
    """The image in RGB at the network's size (`model.images.resized_size`), its boxes with it.

    Boxes are moved as `inside` does, and mirrored as `mirror` does. Raises RowError where it cannot be decoded.
    """
    image = open_rgb(sample.image, max_pixels)
    width, height = image.size
    sample = inside(sample, image)
    h, w = resized_size((height, width), sides)
    sample = replace(sample, boxes=sample.boxes * np.array([w / width, h / height] * 2, dtype=np.float32))
    image = resize_image(image, (h, w))
    if mirrored:
        sample, image = mirror(sample, image)
    return Example(
        key=sample.key,
        image=np.asarray(image),
        caption=sample.caption,
        spans=sample.spans,
        boxes=sample.boxes,
        phrase=sample.phrase,
        scores=sample.scores,
        pseudo=sample.pseudo,
        listed=sample.listed,
        partial=sample.partial,
    )


def inside(sample: TrainingSample, image: Image) -> TrainingSample:
    """The boxes in pixels of the sample's upright image, cut at its borders; those left with no area are dropped."""
    boxes = clip(sample.boxes, *image.size)
    if sample.frame not in (None, image.size):
        orientation = read_header(sample.image).orientation
        boxes = to_upright(sample.boxes, sample.frame, image.size, orientation).astype(np.float32)
    return replace(sample, boxes=boxes, frame=None).keep(np.all(boxes[:, 2:] > boxes[:, :2], axis=1))


def mirror(sample: TrainingSample, image: Image) -> tuple[TrainingSample, Image]:
    """Left and right exchanged: pixels, boxes (in pixels of `image`), and "left" and "right" in the caption.

    A caption that names a side in a form that has no such simple opposite (`OTHER_SIDE`) stays as it is, image and
    all.
    """
    exchanged = swap_sides(sample.caption, sample.spans)
    if exchanged is None:
        return sample, image
    caption, spans = exchanged
    boxes = sample.boxes.copy()  # (N, 4)
    boxes[:, [0, 2]] = image.width - sample.boxes[:, [2, 0]]
    return replace(sample, caption=caption, spans=spans, boxes=boxes), image.transpose(Transpose.FLIP_LEFT_RIGHT)


def swap_sides(caption: str, spans: tuple[Spans, ...]) -> tuple[str, tuple[Spans, ...]] | None:
    """The caption with every "left" and "right" exchanged, in its own case, and each span around the same words.

    None where the caption names a side in another form, or a span cuts one of the words.
    """
    found = list(SIDE.finditer(caption))
    plain = {match.start() for match in found}
    if any(match.start() not in plain for match in OTHER_SIDE.finditer(caption)):
        return None
    return exchange(caption, spans, [(match.start(), match.end(), opposite(match[0])) for match in found])


def opposite(side: str) -> str:
    """LEFT -> RIGHT, Right -> Left, left -> right."""
    other = "right" if side.lower() == "left" else "left"
    return other.upper() if side.isupper() else other.capitalize() if side[0].isupper() else other


def detection_prompt(
    sample: TrainingSample, vocabulary: list[str], negatives: int, rng: np.random.Generator
) -> TrainingSample:
    """The sample with category names for a text: those in the image and sampled others, shuffled, joined by ". ".

    As GLIP's detection data (Section 3.1 of the paper): with probability 0.5 all `negatives` are asked for, else a
    uniform number of them. Names are those that inference asks for (`clean_category`); categories whose names become
    equal are one. Others are added while the token limit has room beside what is in the image. If that alone does
    not fit, what lies past the limit has no positive tokens, as in `Glip.losses`.
    """
    categories = [clean_category(name) for name, _ in sample.objects]
    present = sorted(set(categories))
    absent = [name for name in dict.fromkeys(map(clean_category, vocabulary)) if name not in present]
    wanted = how_many(negatives, rng)
    listed, places = list_prompt(sample, present, (absent[i] for i in rng.permutation(len(absent))), wanted, rng)
    return replace(
        listed,
        boxes=box_array([box for _, box in sample.objects]),
        phrase=places[[present.index(category) for category in categories]],
        scores=np.ones(len(sample.objects), dtype=np.float32),
    )


def phrase_prompt(
    sample: TrainingSample, others: Mapping[str, Sequence[str]], negatives: int, rng: np.random.Generator
) -> TrainingSample:
    """The sample with phrases for a text: its own that have boxes, among up to `negatives` of `others`, shuffled.

    What detection prompts are to categories, for captions whose boxes a teacher has made (after DetCLIP, Yao et al.
    2022): one region is told from dozens of names at a time, not only from those of its caption. `others` are phrases
    of other samples by their noun; each noun is as likely as any other, so that what few captions name is a negative
    as often as what many do. None is the noun of one of the sample's own. As many as `detection_prompt` asks for, and
    as the token limit has room for.

    Phrases are called as `called` says; those of one sample that share their noun stay whole.
    """
    grounded, phrase = np.unique(sample.phrase, return_inverse=True)
    if not len(grounded):
        return sample
    nouns = [noun(sample.caption, spans) for spans in sample.spans]
    own = []
    for at in grounded.tolist():
        text = " ".join(sample.caption[start:end] for start, end in sample.spans[at])
        own.append(called(text, rng) if nouns.count(nouns[at]) == 1 else text)
    wanted = how_many(negatives, rng)
    words = [word for word in others if word not in nouns]
    drawn = (others[words[i]] for i in rng.permutation(len(words)))
    texts = (called(phrases[int(rng.integers(len(phrases)))], rng) for phrases in drawn)
    listed, places = list_prompt(sample, own, texts, wanted, rng)
    return replace(listed, phrase=places[phrase])


def list_prompt(
    sample: TrainingSample, own: list[str], others: Iterable[str], wanted: int, rng: np.random.Generator
) -> tuple[TrainingSample, NDArray[np.int64]]:
    """The sample with names for a text: `own` and the first `wanted` of `others` that fit beside them, shuffled.

    Also the place of each of `own` among the sample's spans (len(own),).
    """
    names = own + list(islice(fitting(own, others), wanted))
    order = rng.permutation(len(names))
    caption, spans = join_names([names[i] for i in order])
    return replace(sample, caption=caption, spans=spans, listed=True), np.argsort(order)[: len(own)]


def fitting(own: list[str], others: Iterable[str]) -> Iterator[str]:
    """Those of `others` for which the token limit has room beside `own` and the ones before."""
    room = MAX_TOKENS - 1 - sum(map(tokens, own))  # less [CLS] and [SEP]; after the last name stands no full stop
    for name in others:
        if tokens(name) <= room:
            room -= tokens(name)
            yield name


@lru_cache(maxsize=1 << 16)
def tokens(text: str) -> int:
    """How many a text takes in a list: its own, and a full stop."""
    return len(encode(text)) - 1  # it comes with [CLS] and [SEP]


def called(phrase: str, rng: np.random.Generator) -> str:
    """The phrase as a list may have it: as often as not its noun alone, as categories are called; else `shortened`.

    So "two yellow scooters" is at times asked for as "scooter", where neither number nor colour helps to find them.
    """
    alone = noun(phrase, ((0, len(phrase)),))
    return alone if alone and rng.random() < 0.5 else shortened(phrase, rng)


def shortened(phrase: str, rng: np.random.Generator) -> str:
    """The phrase without its first words: from none to all but the last, each as likely.

    The last one is the last with letters: a number behind it ("car 350") is no name.
    """
    words = phrase.split()
    named = [at for at, word in enumerate(words) if WORD.search(word)]
    return " ".join(words[int(rng.integers(named[-1] + 1)) :]) if named else phrase


def how_many(negatives: int, rng: np.random.Generator) -> int:
    """All of them with probability 0.5, else a uniform number from 1 on; as GLIP's detection data."""
    return negatives if rng.random() < 0.5 else int(rng.integers(1, negatives + 1)) if negatives else 0


def how_many_captions(most: int | None, rng: np.random.Generator) -> int:
    """One to three; or, of `most`, all with probability 0.5, else a uniform number below, as GLIP packs captions."""
    if most is None:
        return int(rng.integers(1, 4))
    return most if rng.random() < 0.5 else int(rng.integers(most))


def join_names(names: list[str]) -> tuple[str, tuple[Spans, ...]]:
    """GLIP's detection text: names joined by ". ", nothing after the last; and each name's span."""
    spans: list[Spans] = []
    at = 0
    for name in names:
        spans.append(((at, at + len(name)),))
        at += len(name) + 2
    return ". ".join(names), tuple(spans)


def pack_captions(sample: TrainingSample, others: list[str], rng: np.random.Generator) -> TrainingSample:
    """The sample's caption among captions of other samples, which are negatives for its image.

    Captions are shuffled, each ended with a full stop if it has none and followed by a space, as GLIP does (caption
    packing, `PACK_RANDOM_CAPTION_NUMBER`); the spans move with their caption. Others are added while the text fits into
    the text encoder, so that the sample's own words do (`SAFEGUARD_POSITIVE_CAPTION`).
    """
    texts = [sample.caption, *fitting([sample.caption], others)]
    packed, shift = [], 0
    at = 0
    for i in rng.permutation(len(texts)):
        text = texts[i].strip() if i else texts[i]
        ended = text if text.rstrip().endswith(".") else text + "."
        if i == 0:
            shift = at
        packed.append(ended)
        at += len(ended) + 1
    spans = tuple(tuple((start + shift, end + shift) for start, end in phrase) for phrase in sample.spans)
    return replace(sample, caption=" ".join(packed), spans=spans)
