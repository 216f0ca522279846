"""Captions are as noisy as the web's."""

from __future__ import annotations

import re

from stages.synthetic import Scene
from stages.synthetic.nouns import BY_NAME
from tests.stages.synthetic.read import phrase


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
    assert min(found.values()) >= 3, found


def test_shares_of_the_unmentioned_and_the_absent(web: list[Scene]) -> None:
    objects = sum(len(scene.objects) for scene in web)
    boxed = sum(len(scene.boxes) for scene in web)
    mentions = sum(len(scene.spans) for scene in web)
    absent = sum(len(set(range(len(scene.spans))) - {box.span for box in scene.boxes}) for scene in web)
    assert 0.18 < 1 - boxed / objects < 0.32
    assert 0.07 < absent / mentions < 0.14
