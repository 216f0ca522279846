"""Scenes are what they say: exact, true, deterministic, long-tailed and as noisy as the web."""

from __future__ import annotations

import hashlib
import io
import itertools
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.synthetic import NOUNS, Scene, draw_scene, scene_size
from stages.synthetic.atlas import ATLAS, COLOURS, cut, recolour
from stages.synthetic.frequencies import gold_count, rare_noun_at
from stages.synthetic.layout import MIN_VISIBLE, choose_groups, place, turn
from stages.synthetic.nouns import BY_NAME, confusable
from stages.synthetic.randomness import Stream

ROOT = Path(__file__).resolve().parents[3]
TIER = {noun.name: noun.tier for noun in NOUNS}
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6} | {str(n): n for n in range(2, 7)}

DIGEST = """
import hashlib, sys
from stages.synthetic import draw_scene
for split in ("gold", "web", "eval"):
    for index in map(int, sys.argv[1:]):
        scene = draw_scene(split, 5, index)
        print(split, index, hashlib.sha256(scene.jpeg + repr(scene).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def gold() -> list[Scene]:
    return [draw_scene("gold", 11, index) for index in range(2200)]


@pytest.fixture(scope="module")
def web() -> list[Scene]:
    return [draw_scene("web", 11, index) for index in range(1500)]


def phrase(scene: Scene, span: int) -> str:
    start, end = scene.spans[span]
    return scene.caption[start:end]


def boxes_of(scene: Scene, span: int) -> list[tuple[float, float, float, float]]:
    return [(box.x1, box.y1, box.x2, box.y2) for box in scene.boxes if box.span == span]


# --- one scene, drawn anywhere


def test_a_scene_does_not_depend_on_process_or_order() -> None:
    indices = [7, 0, 1999, 3, 12345]
    runs = []
    for order in (indices, indices[::-1]):
        command = [sys.executable, "-c", DIGEST, *map(str, order)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        runs.append(sorted(done.stdout.splitlines()))
    here = []
    for split in ("gold", "web", "eval"):
        for index in indices:
            scene = draw_scene(split, 5, index)
            here.append(f"{split} {index} {hashlib.sha256(scene.jpeg + repr(scene).encode()).hexdigest()}")
    assert runs[0] == runs[1] == sorted(here)
    assert len({line.split()[2] for line in here}) == 15  # splits and indices all differ
    assert draw_scene("web", 6, 7) != draw_scene("web", 5, 7)


@pytest.mark.parametrize(("split", "seed", "index"), [("train", 0, 0), ("web", -1, 0), ("web", 0, -1)])
def test_arguments_that_make_no_sense_are_refused(split: str, seed: int, index: int) -> None:
    with pytest.raises(ValueError, match="scene"):
        draw_scene(split, seed, index)


def test_images_decode_and_have_the_promised_sizes(web: list[Scene]) -> None:
    sizes = Counter()
    for index, scene in enumerate(web[:300]):
        image_file = Image.open(io.BytesIO(scene.jpeg))
        image_file.load()
        assert (image_file.format, image_file.mode, image_file.size) == ("JPEG", "RGB", (scene.width, scene.height))
        assert scene_size("web", 11, index) == image_file.size
        assert min(image_file.size) == 224
        sizes[image_file.size] += 1
    assert set(sizes) == {(224, 224)} | {size for long in (256, 288, 320) for size in ((long, 224), (224, long))}


# --- boxes


def test_boxes_lie_inside_and_belong_to_objects(gold: list[Scene], web: list[Scene]) -> None:
    for scene in gold + web:
        assert 1 <= len(scene.objects) <= 6
        for _, (x1, y1, x2, y2) in scene.objects:
            assert 0 <= x1 < x2 <= scene.width
            assert 0 <= y1 < y2 <= scene.height
        pool = Counter(scene.objects)
        owned = Counter((box.category, (box.x1, box.y1, box.x2, box.y2)) for box in scene.boxes)
        assert all(pool[one] >= number for one, number in owned.items())


def test_boxes_are_tight_and_objects_visible() -> None:
    """Pastes every sprite's alpha on empty images and measures there, pixel by pixel."""
    for index in range(150):
        stream = Stream.of_scene("web", 2, index)
        scene = draw_scene("web", 2, index)
        stream.uniform(), stream.uniform()  # the image's size
        placed = place(choose_groups("web", 2, index, stream), scene.width, scene.height, stream)
        assert len(placed) == len(scene.objects)
        solids = []
        for thing, (_, box) in zip(placed, scene.objects, strict=True):
            layer = Image.new("L", (scene.width, scene.height))
            sprite = thing.sprite
            alpha = sprite.image.getchannel("A")
            layer.paste(alpha, (thing.x - sprite.left, thing.y - sprite.top))
            opaque = np.asarray(layer) / 255.0 > 0.3
            assert Image.fromarray(opaque).getbbox() == box
            solids.append((opaque, np.count_nonzero(np.asarray(alpha) / 255.0 > 0.3)))
        for number, (opaque, area) in enumerate(solids):
            hidden = np.zeros_like(opaque)
            for above, _ in solids[number + 1 :]:
                hidden |= above
            assert np.count_nonzero(opaque & ~hidden) >= MIN_VISIBLE * area


def test_boxes_are_where_the_pixels_are() -> None:
    """In scenes on a plain background, the boxes together span what differs from the background."""
    plain = fitting = 0
    for index in range(260):
        scene = draw_scene("web", 4, index)
        pixels = np.asarray(Image.open(io.BytesIO(scene.jpeg)).convert("RGB"), dtype=int)
        corners = np.array([box for _, box in scene.objects])
        box = np.concatenate([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)])
        x1, y1, x2, y2 = (int(value) for value in box)
        outside = np.ones(pixels.shape[:2], dtype=bool)
        outside[max(0, y1 - 12) : y2 + 12, max(0, x1 - 12) : x2 + 12] = False
        around = pixels[outside]
        if outside.mean() < 0.3 or np.ptp(around, axis=0).max() > 4:
            continue  # too little background left to judge, or one with a pattern
        far = np.abs(pixels - np.median(around, axis=0)).max(axis=2) > 25
        columns, rows = np.flatnonzero(far.any(axis=0)), np.flatnonzero(far.any(axis=1))
        wider = np.array([-1, -1, 1, 1]) * (np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) - box)
        # What has the background's colour cannot be seen: the measured box may be smaller, never larger.
        assert wider.max() <= 4, index
        plain += 1
        fitting += int(wider.min() >= -4)
    assert plain >= 15
    assert fitting >= 0.75 * plain, (fitting, plain)


@pytest.mark.parametrize("angle", [-75.0, -20.0, 0.0, 25.0, 90.0])
@pytest.mark.parametrize("flip", [False, True])
def test_turned_sprites_agree_with_pillow(angle: float, flip: bool) -> None:
    for name in ("giraffe", "scissors", "ladder", "banana"):
        sprite = cut(BY_NAME[name])
        ours = turn(BY_NAME[name], "", 100.0, angle, flip).solid
        scale = 100.0 / max(sprite.size)
        other = sprite.resize([round(side * scale) for side in sprite.size], Image.Resampling.LANCZOS)
        other = other.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else other
        other = other.rotate(-angle, Image.Resampling.BICUBIC, expand=True)
        theirs = np.asarray(other.getchannel("A")) > 76
        theirs = theirs[np.ix_(theirs.any(axis=1), theirs.any(axis=0))]
        assert np.abs(np.subtract(ours.shape, theirs.shape)).max() <= 3, name
        height, width = np.minimum(ours.shape, theirs.shape)
        assert np.mean(ours[:height, :width] == theirs[:height, :width]) > 0.93, name


# --- captions


def test_spans_are_exact_and_name_their_noun(gold: list[Scene], web: list[Scene]) -> None:
    for scene in gold + web:
        assert len(scene.spans) == len(scene.span_nouns)
        position = 0
        for (start, end), noun in zip(scene.spans, scene.span_nouns, strict=True):
            assert position <= start < end <= len(scene.caption)
            position = end
            text = scene.caption[start:end]
            assert text == text.strip(" .,;:!“”&|/-…#")
            endings = [word.lower() for pair in BY_NAME[noun].names() for word in pair]
            assert any(re.search(rf"(^|\s){re.escape(word)}$", text.lower()) for word in endings), text
            neighbours = scene.caption[max(0, start - 1) : start] + scene.caption[end : end + 1]
            assert not any(letter.isalnum() for letter in neighbours)
        assert len(scene.caption.split()) <= 40


def test_boxes_follow_their_phrase(gold: list[Scene], web: list[Scene]) -> None:
    colours = re.compile(r"\b(" + "|".join(COLOURS) + r")\b", re.IGNORECASE)
    counted = coloured = absent = 0
    for scene in gold + web:
        present = Counter(name for name, _ in scene.objects)
        for span, noun in enumerate(scene.span_nouns):
            own = boxes_of(scene, span)
            assert {box.category for box in scene.boxes if box.span == span} <= {noun}
            first = phrase(scene, span).split()[0].lower()
            if not own:
                absent += 1
                assert noun not in present
                continue
            if first in NUMBERS:
                counted += 1
                assert len(own) == NUMBERS[first], scene.caption
            if len(own) < present[noun]:  # others of the kind are there: the colour must tell them apart
                coloured += 1
                assert colours.search(phrase(scene, span)), scene.caption
    assert counted > 100
    assert coloured > 50
    assert absent > 200


def test_colour_words_are_true() -> None:
    """A group has one colour, and the painted sprite's main colour is nearest to that name's."""
    for noun in NOUNS:
        for tint in noun.tints:
            if tint == noun.colour:
                continue
            before, after = cut(noun), recolour(cut(noun), COLOURS[tint])
            old, new = np.asarray(before, dtype=int), np.asarray(after, dtype=int)
            changed = (np.abs(old - new).max(axis=2) > 12) & (old[..., 3] > 200)
            assert changed.mean() > 0.02, (noun.name, tint)
            colour = np.median(new[..., :3][changed], axis=0)
            nearest = min(COLOURS, key=lambda name: np.abs(colour - COLOURS[name]).sum())
            assert nearest == tint, (noun.name, tint, colour)


def test_relations_and_sizes_are_true(gold: list[Scene], web: list[Scene]) -> None:
    centre = {"x": lambda box: box[0] + box[2], "y": lambda box: box[1] + box[3]}
    rules = {"left of": ("x", 1), "right of": ("x", -1), "above": ("y", 1), "below": ("y", -1), "beneath": ("y", -1)}
    checked: Counter[str] = Counter()
    for scene in gold + web:
        for span in range(len(scene.spans) - 1):
            one, two = boxes_of(scene, span), boxes_of(scene, span + 1)
            between = scene.caption[scene.spans[span][1] : scene.spans[span + 1][0]].lower()
            for words, (axis, sign) in rules.items():
                if words in between and one and two:
                    checked[words] += 1
                    at = centre[axis]
                    assert all(sign * (at(b) - at(a)) > 0 for a in one for b in two), scene.caption
            if ("behind" in between or "in front of" in between) and one and two:
                checked["overlap"] += 1
                a, b = one[0], two[0]
                assert min(a[2], b[2]) > max(a[0], b[0])
                assert min(a[3], b[3]) > max(a[1], b[1])
        for span in range(len(scene.spans)):
            words = phrase(scene, span).lower().split()
            for x1, y1, x2, y2 in boxes_of(scene, span):
                diagonal = float(np.hypot(x2 - x1, y2 - y1))
                if {"big", "large", "huge"} & set(words):
                    checked["big"] += 1
                    assert diagonal >= 45  # 92 pixels, perhaps cut at the edge, perhaps thin
                if {"small", "little", "tiny"} & set(words):
                    checked["small"] += 1
                    assert diagonal <= 44 * 1.5 + 4
    assert all(checked[words] >= 5 for words in [*rules, "overlap", "big", "small"]), checked


def test_confusable_nouns_never_meet(web: list[Scene]) -> None:
    assert confusable(BY_NAME["tree"], BY_NAME["pine tree"])
    assert confusable(BY_NAME["taxi"], BY_NAME["car"])
    assert not confusable(BY_NAME["apple"], BY_NAME["pineapple"])
    for scene in web:
        names = sorted({name for name, _ in scene.objects} | set(scene.span_nouns))
        for number, one in enumerate(names):
            for two in names[number + 1 :]:
                assert not confusable(BY_NAME[one], BY_NAME[two]), (one, two)


def test_every_kind_of_noise_occurs(web: list[Scene]) -> None:
    captions = [scene.caption for scene in web]
    patterns = {
        "stock photo": r"(?i)\bstock (photo|image)\b",
        "vector": r"(?i)\bvector illustration of\b",
        "hashtag": r"#[A-Za-z]{3,}",
        "file name": r"\d{4}\.(jpe?g|png|JPG)\b",
        "web address": r"www\.example\.com",
        "entity": r"&amp;",
        "curly quotes": r"^“.*”$",
        "curly apostrophe": r"’s ",
        "emoji": r"[\U0001F300-\U0001FAFF❤✨]",
        "trailing spaces": r" $",
        "trailing dots": r"\.\.$",
        "double space": r"\S  \S",
        "fragment without article": r"^[A-Za-z -]+, [A-Za-z -]+$",
        "lower case": r"^[a-z]",
    }
    found = {name: sum(bool(re.search(pattern, text)) for text in captions) for name, pattern in patterns.items()}
    found["all capitals"] = sum(text.isupper() for text in captions)
    found["title case"] = sum(len(text.split()) > 3 and text.istitle() for text in captions)
    found["wordless"] = sum(not scene.spans for scene in web)
    found["synonym"] = sum(
        not re.search(rf"({BY_NAME[noun].name}|{BY_NAME[noun].plural})$", phrase(scene, span).lower())
        for scene in web
        for span, noun in enumerate(scene.span_nouns)
    )
    assert all(number >= 3 for number in found.values()), found


def test_shares_of_the_unmentioned_and_the_absent(web: list[Scene]) -> None:
    objects = sum(len(scene.objects) for scene in web)
    boxed = sum(len(scene.boxes) for scene in web)
    mentions = sum(len(scene.spans) for scene in web)
    absent = sum(len(set(range(len(scene.spans))) - {box.span for box in scene.boxes}) for scene in web)
    assert 0.18 < 1 - boxed / objects < 0.32
    assert 0.07 < absent / mentions < 0.14


# --- nouns and splits


def test_the_table_is_sound() -> None:
    assert len(NOUNS) >= 170
    assert Counter(TIER.values()) == {"common": 114, "rare": 40, "unseen": 26}
    assert [noun.rank for noun in NOUNS] == list(range(1, len(NOUNS) + 1))
    names = [name for noun in NOUNS for pair in noun.names() for name in set(pair)]
    assert len(names) == len(set(names))  # no word names two nouns
    assert len({noun.codepoint for noun in NOUNS}) == len(NOUNS)
    assert all(set(noun.tints) <= set(COLOURS) for noun in NOUNS)
    assert {noun.group for noun in NOUNS if noun.tier == "unseen"} >= {"animal", "food", "vehicle", "tool", "clothes"}


def test_the_atlas_is_small_licensed_and_full() -> None:
    assert ATLAS.stat().st_size <= 3 * 2**20
    assert "SIL OPEN FONT LICENSE Version 1.1" in ATLAS.with_name("LICENSE-OFL.txt").read_text(encoding="utf-8")
    sprites = [cut(noun) for noun in NOUNS]
    assert all(max(sprite.size) >= 90 for sprite in sprites)
    small = np.stack([np.asarray(sprite.convert("RGBa").resize((12, 12)), dtype=np.int16) for sprite in sprites])
    apart = np.abs(small[:, None] - small[None]).mean(axis=(2, 3, 4)) + 1000 * np.eye(len(NOUNS))
    assert apart.min() > 12  # no image twice


def test_rare_nouns_come_one_to_five_times_in_gold(gold: list[Scene]) -> None:
    rare = [noun for noun in NOUNS if noun.tier == "rare"]
    assert Counter(gold_count(noun) for noun in rare) == dict.fromkeys(range(1, 6), 8)
    shown = Counter(name for scene in gold for name, _ in scene.objects if TIER[name] == "rare")
    boxed = Counter(box.category for scene in gold for box in scene.boxes if TIER[box.category] == "rare")
    mentioned = Counter(noun for scene in gold for noun in scene.span_nouns if TIER[noun] == "rare")
    assert shown == boxed == mentioned == {noun.name: gold_count(noun) for noun in rare}
    assert not any(TIER[name] == "rare" for scene in gold[2000:] for name, _ in scene.objects)


@pytest.mark.parametrize("seed", [0, 1, 987_654_321])
def test_rare_places_are_exact_for_every_seed(seed: int) -> None:
    places = {index: noun for index in range(2500) if (noun := rare_noun_at("gold", seed, index))}
    assert max(places) < 2000
    assert Counter(noun.name for noun in places.values()) == {
        noun.name: gold_count(noun) for noun in NOUNS if noun.tier == "rare"
    }
    assert places != {index: rare_noun_at("gold", seed + 1, index) for index in places}
    assert rare_noun_at("web", seed, min(places)) is None


def test_unseen_nouns_are_nowhere_in_gold(gold: list[Scene]) -> None:
    unseen = [noun for noun in NOUNS if noun.tier == "unseen"]
    words = {name for noun in unseen for pair in noun.names() for name in pair}
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, words)) + r")\b", re.IGNORECASE)
    for scene in gold:
        assert not any(TIER[name] == "unseen" for name, _ in scene.objects)
        assert not any(TIER[noun] == "unseen" for noun in scene.span_nouns)
        assert not pattern.search(scene.caption), scene.caption


def test_web_has_a_long_tail(web: list[Scene]) -> None:
    counts = Counter(name for scene in web for name, _ in scene.objects)
    total = sum(counts.values())
    tail = sum(number for name, number in counts.items() if TIER[name] != "common") / total
    assert 0.12 <= tail <= 0.2
    by_rank = np.array([counts[noun.name] for noun in NOUNS], dtype=float)
    assert np.count_nonzero(by_rank) >= 175
    chunks = [part.mean() for part in np.array_split(by_rank, 4)]
    assert all(more > less for more, less in itertools.pairwise(chunks))
    assert chunks[0] > 4 * chunks[-1]
