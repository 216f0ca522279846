"""From a stored sample to what the model sees: decoding, flipping, text made of categories or of several captions."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from model.images import resize, resized_size
from model.prompt import MAX_TOKENS, encode
from stages.images import decode_rgb
from stages.training.samples import Example, Sample, Spans, box_array
from stages.training.wording import exchange, last_word

# "left" and "right" as words of their own, in any case.
SIDE = re.compile(r"(?<![\w-])(?:left|right)(?![\w-])", re.IGNORECASE)
# A side in another form: left-hand, far-left, rightmost, img_left_2, (L), L to R. "rights" or "leftover" name none.
OTHER_SIDE = re.compile(
    r"(?<![a-z])(?:left|right)(?!s\b|ly\b|ful|eous|over)|\([lr]\)|\bl(?:-| to )r\b",
    re.IGNORECASE,
)


def decode(sample: Sample, max_pixels: int) -> Example:
    """The picture in RGB, its boxes cut at its borders; those left with no area are dropped.

    Raises RowError for an image that cannot be decoded.
    """
    image = decode_rgb(sample.image, max_pixels)
    height, width = image.shape[:2]
    boxes = sample.boxes.clip(0, np.array([width, height, width, height], dtype=np.float32))
    sample = replace(sample, boxes=boxes).keep(np.all(boxes[:, 2:] > boxes[:, :2], axis=1))
    return Example(
        key=sample.key,
        image=image,
        caption=sample.caption,
        spans=sample.spans,
        boxes=sample.boxes,
        phrase=sample.phrase,
        scores=sample.scores,
        pseudo=sample.pseudo,
    )


def resized(example: Example, sides: tuple[int, int]) -> Example:
    """The picture at the network's size (`model.images.resized_size`), its boxes with it."""
    height, width = example.image.shape[:2]
    size = resized_size(example.image.shape, sides)
    ratio = np.array([size[1] / width, size[0] / height] * 2, dtype=np.float32)
    return replace(example, image=resize(example.image, size), boxes=example.boxes * ratio)


def flip(example: Example) -> Example:
    """Mirror left and right: pixels, boxes, and the words "left" and "right" of the caption.

    A caption that names a side in a form that has no such simple opposite (`OTHER_SIDE`) stays as it is, picture and
    all.
    """
    mirrored = swap_sides(example.caption, example.spans)
    if mirrored is None:
        return example
    caption, spans = mirrored
    width = example.image.shape[1]
    boxes = example.boxes.copy()  # (N, 4)
    boxes[:, [0, 2]] = width - example.boxes[:, [2, 0]]
    image = np.ascontiguousarray(example.image[:, ::-1])
    return replace(example, image=image, boxes=boxes, caption=caption, spans=spans)


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


def detection_prompt(sample: Sample, vocabulary: list[str], negatives: int, rng: np.random.Generator) -> Sample:
    """The sample with category names for a text: those in the picture and sampled others, shuffled, joined by ". ".

    As GLIP's detection data (Section 3.1 of the paper): with probability 0.5 all `negatives` are asked for, else a
    uniform number of them. What does not fit into the token limit has no positive tokens, as in `Glip.losses`.
    """
    present = sorted({category for category, _ in sample.objects})
    absent = [name for name in vocabulary if name not in set(present)]
    wanted = how_many(negatives, rng)
    drawn = list(rng.permutation(len(absent))[:wanted])
    names = present + [absent[i] for i in drawn]
    order = rng.permutation(len(names))
    caption, spans = join_names([names[i] for i in order])
    place = {names[i]: at for at, i in enumerate(order)}
    return replace(
        sample,
        caption=caption,
        spans=spans,
        boxes=box_array([box for _, box in sample.objects]),
        phrase=np.asarray([place[category] for category, _ in sample.objects], dtype=np.int64),
        scores=np.ones(len(sample.objects), dtype=np.float32),
    )


def phrase_prompt(sample: Sample, others: list[str], negatives: int, rng: np.random.Generator) -> Sample:
    """The sample with phrases for a text: its own that have boxes, among up to `negatives` of `others`, shuffled.

    What detection prompts are to categories, for captions whose boxes a teacher has made (after DetCLIP, Yao et al.
    2022): one region is told from dozens of names at a time, not only from those of its caption. No other phrase
    shares its last word with one of the sample, nor with another one. As many as `detection_prompt` asks for, and as
    the token limit has room for.

    A phrase comes without its first words, as many as chance says, so that "my yellow scooter" is at times asked for as
    "scooter", where no colour helps to find it; those of one sample that share their last word stay whole.
    """
    grounded = sorted(set(sample.phrase.tolist()))
    if not grounded:
        return sample
    ends = [last_word(sample.caption, phrase) for phrase in sample.spans]
    own = []
    for phrase in grounded:
        text = " ".join(sample.caption[start:end] for start, end in sample.spans[phrase])
        own.append(shortened(text, rng) if ends.count(ends[phrase]) == 1 else text)
    taken = set(ends)
    room = MAX_TOKENS - 2 - sum(len(encode(text)) - 1 for text in own)
    wanted = how_many(negatives, rng)
    drawn: list[str] = []
    for i in rng.permutation(len(others)):
        if len(drawn) == wanted:
            break
        text = shortened(others[i], rng)
        word = last_word(text, ((0, len(text)),))
        if not word or word in taken:
            continue
        cost = len(encode(text)) - 1  # less [CLS] and [SEP], and a full stop
        if cost <= room:
            drawn.append(text)
            taken.add(word)
            room -= cost
    names = own + drawn
    order = rng.permutation(len(names))
    caption, spans = join_names([names[i] for i in order])
    place = {grounded[i]: at for at, i in enumerate(order) if i < len(own)}
    phrase = np.asarray([place[phrase] for phrase in sample.phrase.tolist()], dtype=np.int64)
    return replace(sample, caption=caption, spans=spans, phrase=phrase)


def shortened(phrase: str, rng: np.random.Generator) -> str:
    """The phrase without its first words: from none to all but the last, each as likely."""
    words = phrase.split()
    return " ".join(words[int(rng.integers(len(words))) :]) if words else phrase


def how_many(negatives: int, rng: np.random.Generator) -> int:
    """All of them with probability 0.5, else a uniform number from 1 on; as GLIP's detection data."""
    return negatives if rng.random() < 0.5 else int(rng.integers(1, negatives + 1)) if negatives else 0


def join_names(names: list[str]) -> tuple[str, tuple[Spans, ...]]:
    """GLIP's detection text: names joined by ". ", nothing after the last; and each name's span."""
    spans: list[Spans] = []
    at = 0
    for name in names:
        spans.append(((at, at + len(name)),))
        at += len(name) + 2
    return ". ".join(names), tuple(spans)


def pack_captions(sample: Sample, others: list[str], rng: np.random.Generator) -> Sample:
    """The sample's caption among captions of other samples, which are negatives for its picture.

    Captions are shuffled, each ended with a full stop if it has none and followed by a space, as GLIP does (caption
    packing, `PACK_RANDOM_CAPTION_NUMBER`); the spans move with their caption. Others are added while the text fits into
    the text encoder, so that the sample's own words do (`SAFEGUARD_POSITIVE_CAPTION`).
    """
    texts = [sample.caption]
    room = MAX_TOKENS - len(encode(sample.caption))
    for text in others:
        cost = len(encode(text)) - 1  # less [CLS] and [SEP], and a full stop
        if cost <= room:
            texts.append(text)
            room -= cost
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
