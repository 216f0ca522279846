"""Tokens: where words, links, entities and marks begin and end in a piece of text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.phrases.tokens import Kind, form_of, is_link, plain_spaces, tokenize


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        ("dog's", ["dog", "'s"]),
        ("dog’s", ["dog", "'s"]),
        ("cat&#39;s", ["cat", "'s"]),
        ("don't", ["don't"]),
        ("black-and-tan", ["black-and-tan"]),
        ("jack-o'-lantern", ["jack-o'-lantern"]),
        ("(Red/Black)", ["(", "red", "/", "black", ")"]),
        ("$7.3", ["$", "7.3"]),
        ("12°C", ["12", "°c"]),
        ("900ml.", ["900ml", "."]),
        ("U.S.", ["u.s."]),
        ("w/", ["w/"]),
        ("R&amp;B", ["r", "&", "b"]),
        ("“Hello”", ['"', "hello", '"']),
        ("🥕🥕x", ["🥕🥕", "x"]),
        ("ca\u200dt", ["cat"]),
        ("ｗｉｄｅ", ["wide"]),
        ("e\u0301te\u0301", ["été"]),
        ("\ufeff", []),
    ],
)
def test_forms(piece: str, expected: list[str]) -> None:
    assert [token.form for token in tokenize(piece)] == expected


LINKS = """https://x.example/a?b=1 www.shop.example blog.example.org/p me@mail.example @nora_k #ootd #a#b IMG_2034.jpg
2).JPG DSC00482 my_file scan.tar.zip"""


@pytest.mark.parametrize("text", LINKS.split())
def test_links(text: str) -> None:
    assert is_link(text)
    (token,) = (token for token in tokenize(f'"{text}",') if token.kind == Kind.LINK)
    assert token.form == form_of(text)


@pytest.mark.parametrize("text", ["dog", "e.g", "#123", "mid-century", "3.5", "photo", "A/B", "12:30", "R&B", "don't"])
def test_words_are_no_links(text: str) -> None:
    assert not is_link(text)


def test_scripts_and_kinds() -> None:
    kinds = {
        token.form: token.kind for piece in ["dog", "7.5", "£", "김치", "😀", "'s", "."] for token in tokenize(piece)
    }
    assert kinds == {
        "dog": Kind.WORD,
        "7.5": Kind.NUMBER,
        "£": Kind.CURRENCY,
        "김치": Kind.FOREIGN,
        "😀": Kind.SYMBOL,
        "'s": Kind.CLITIC,
        ".": Kind.PUNCT,
    }


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_tokens_lie_in_order_inside_the_piece(text: str) -> None:
    spaced = plain_spaces(text)
    assert len(spaced) == len(text)
    for piece in spaced.split(" "):
        end = 0
        for token in tokenize(piece):
            assert end <= token.start < token.end <= len(piece)
            assert token.form == form_of(piece[token.start : token.end])
            end = token.end
