from __future__ import annotations

import hashlib
import random

import pytest

from model.prompt import (
    MAX_TOKENS,
    NO_TOKENS,
    OVER_LIMIT,
    VOCABULARY,
    CategoryList,
    CategoryPrompt,
    Prompt,
    caption_prompts,
    category_prompts,
    clean_category,
    encode,
    token_positions,
    tokenizer,
    truncated,
)

CLS, SEP = 101, 102


def words_of(prompt: Prompt, phrase: int) -> list[str]:
    """The word pieces that a prompt marks for one of the caller's phrases."""
    return [tokenizer().id_to_token(prompt.ids[t]) for t in prompt.tokens[prompt.phrases.index(phrase)]]


def span(caption: str, part: str, start: int = 0) -> tuple[int, int]:
    at = caption.index(part, start)
    return at, at + len(part)


def test_the_vocabulary_is_berts() -> None:
    digest = hashlib.sha256(VOCABULARY.read_bytes()).hexdigest()
    assert digest == "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
    assert tokenizer().get_vocab_size() == 30522


def test_tokens_lose_case_and_accents_but_offsets_do_not_move() -> None:
    caption = "Ein CAFÉ, déjà-vu"
    encoding = encode(caption)
    assert encoding.tokens == ["[CLS]", "ein", "cafe", ",", "de", "##ja", "-", "vu", "[SEP]"]
    assert token_positions(encoding, [span(caption, "CAFÉ")]) == [2]
    assert token_positions(encoding, [span(caption, "déjà-vu")]) == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(0, 5)], [1, 2]),  # "a red"
        ([(1, 5)], [2]),  # begins with a space: the next character counts
        ([(0, 6)], [1, 2]),  # ends with one
        ([(2, 5), (10, 13)], [2, 4]),  # both spans
        ([(2, 5), (0, 5)], [1, 2]),  # overlapping
        ([(5, 9)], [3]),  # two spaces, then the word
        ([(5, 7)], []),  # two spaces: the word after them, but no word up to the end
        ([(5, 5)], []),
        ([], []),
        ([(14, 15)], []),  # after the end
    ],
)
def test_spans_to_tokens(spans: list[tuple[int, int]], expected: list[int]) -> None:
    assert token_positions(encode("a red  cat dog"), spans) == expected


def test_a_caption_that_fits_is_one_prompt_unchanged() -> None:
    caption = "A dog, and a cat."
    (prompt,), dropped = caption_prompts(caption, [[(0, 5)], [(11, 16)]])
    assert prompt.ids == encode(caption).ids
    assert [words_of(prompt, phrase) for phrase in (0, 1)] == [["a", "dog"], ["a", "cat"]]
    assert dropped == []


def test_phrases_without_tokens_are_dropped_and_the_others_stay() -> None:
    prompts, dropped = caption_prompts("a cat   \u200b  ", [[(0, 5)], [(8, 11)], []])
    assert [prompt.phrases for prompt in prompts] == [[0]]
    assert dropped == [(1, NO_TOKENS), (2, NO_TOKENS)]


def test_no_prompt_where_there_is_nothing_to_look_for() -> None:
    assert caption_prompts("a cat", []) == ([], [])
    assert caption_prompts("", []) == ([], [])
    assert caption_prompts("", [[(0, 0)]]) == ([], [(0, NO_TOKENS)])


def test_lone_surrogates_do_not_move_the_spans() -> None:
    caption = "\ud800 a cat \udfff"
    (prompt,), _ = caption_prompts(caption, [[span(caption, "a cat")]])
    assert words_of(prompt, 0) == ["a", "cat"]


def long_caption(seed: int, sentences: int) -> tuple[str, list[str], list[list[tuple[int, int]]]]:
    """Sentences of 8 to 40 words with two phrases in each, numbered, so that they can be told apart."""
    choose = random.Random(seed)
    caption, names, spans = "", [], []
    for _ in range(sentences):
        words = choose.choices(["blue", "under", "house", "walking", "of", "old"], k=choose.randint(8, 40))
        for place in sorted(choose.sample(range(len(words)), 2), reverse=True):
            words.insert(place, f"cat {len(names)} {place}")
            names.append(words[place])
        sentence = " ".join(words)
        for name in names[-2:]:
            spans.append([(len(caption) + sentence.index(name), len(caption) + sentence.index(name) + len(name))])
        caption += sentence + ". "
    return caption, names, spans


@pytest.mark.parametrize("seed", range(6))
def test_long_captions_are_split_so_that_every_phrase_is_grounded(seed: int) -> None:
    caption, names, spans = long_caption(seed, 40)
    prompts, dropped = caption_prompts(caption, spans)
    assert dropped == []
    assert len(prompts) > 2
    grounded = [phrase for prompt in prompts for phrase in prompt.phrases]
    assert sorted(grounded) == list(range(len(names)))  # each once
    for prompt in prompts:
        assert prompt.ids[0] == CLS and prompt.ids[-1] == SEP and len(prompt.ids) <= MAX_TOKENS
        assert tokenizer().id_to_token(prompt.ids[-2]) == "."  # cut at the end of a sentence
        for phrase in prompt.phrases:
            assert words_of(prompt, phrase) == encode(names[phrase]).tokens[1:-1]


def test_without_sentences_the_cut_is_between_words_and_phrases() -> None:
    caption = "umbrellaish " * 400
    spans = [[(12 * i, 12 * i + 23)] for i in range(0, 399, 3)]
    prompts, dropped = caption_prompts(caption, spans)
    assert dropped == []
    assert sorted(phrase for prompt in prompts for phrase in prompt.phrases) == list(range(len(spans)))
    expected = encode("umbrellaish umbrellaish").tokens[1:-1]
    assert all(words_of(prompt, phrase) == expected for prompt in prompts for phrase in prompt.phrases)


def test_phrases_that_interlock_all_find_a_window() -> None:
    """Every cut goes through a phrase of two spans that lie some 200 words apart."""
    caption = "cat " * 1000
    spans = [[(4 * i, 4 * i + 3), (4 * (i + 200), 4 * (i + 200) + 3)] for i in range(0, 790, 10)]
    prompts, dropped = caption_prompts(caption, spans)
    assert dropped == []
    assert sorted(phrase for prompt in prompts for phrase in prompt.phrases) == list(range(len(spans)))
    assert all(words_of(prompt, phrase) == ["cat", "cat"] for prompt in prompts for phrase in prompt.phrases)


def test_what_no_prompt_can_hold_is_dropped() -> None:
    caption = "cat " * 400
    prompts, dropped = caption_prompts(caption, [[(0, 4 * 254 - 1)], [(0, 4 * 255)], [(0, 3), (1500, 1503)], [(8, 11)]])
    assert dropped == [(1, OVER_LIMIT), (2, OVER_LIMIT)]
    assert sorted(phrase for prompt in prompts for phrase in prompt.phrases) == [0, 3]
    assert max(len(prompt.ids) for prompt in prompts) == MAX_TOKENS


def test_hundred_kilobytes_of_caption() -> None:
    caption, _, spans = long_caption(0, 700)
    assert len(caption) > 90_000
    prompts, dropped = caption_prompts(caption, spans)
    assert dropped == []
    assert sum(len(prompt.phrases) for prompt in prompts) == 1400


def test_training_truncates() -> None:
    caption = "cat " * 300 + "dog"
    ids, positions = truncated(caption, [[(0, 3)], [(4 * 253, 4 * 253 + 3)], [(4 * 254, 4 * 254 + 3)], [(1200, 1203)]])
    assert ids == [CLS, *encode("cat").ids[1:-1] * 254, SEP]
    assert positions == [[1], [254], [], []]


def test_categories_in_prompts_of_the_official_form() -> None:
    (prompt,), dropped = category_prompts(["person", "dining_table", "cup (ceramic)"])
    assert prompt.ids == encode("person. dining table. cup ").ids
    assert [words_of(prompt, i) for i in range(3)] == [["person"], ["dining", "table"], ["cup"]]
    assert dropped == []


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("cup (ceramic)", "cup "),
        ("stop_sign", "stop sign"),
        ("monitor_(computer_equipment) computer_monitor", "monitor computer monitor"),
        ("nut (hazel) or bolt (steel)", "nut "),  # from the first to the last bracket
        ("a (b (c))", "a "),
        ("open (end", "open (end"),
    ],
)
def test_names_are_cleaned_as_published(name: str, clean: str) -> None:
    assert clean_category(name) == clean


def test_names_whose_span_has_no_token_are_dropped_and_the_others_stay() -> None:
    """The three characters that a span may begin or end with have none: as for a phrase of a caption."""
    names = ["dog", " " * 6 + "cat", "\u200b\u200b\u200bcow", "hen\u200b\u200b\u200b"]
    prompts, dropped = category_prompts(names)
    assert [prompt.phrases for prompt in prompts] == [[0]]
    assert dropped == [(1, NO_TOKENS), (2, NO_TOKENS), (3, NO_TOKENS)]
    assert category_prompts(names[1:2]) == ([], [(0, NO_TOKENS)])


def test_any_number_of_categories_is_split() -> None:
    names = [f"thing number {i}" for i in range(1203)] + ["", "(gone)", "word " * 300]
    for per_prompt in (None, 40):
        prompts, dropped = category_prompts(names, per_prompt)
        assert dropped == [(1203, NO_TOKENS), (1204, NO_TOKENS), (1205, OVER_LIMIT)]
        assert [phrase for prompt in prompts for phrase in prompt.phrases] == list(range(1203))
        for prompt in prompts:
            assert len(prompt.ids) <= MAX_TOKENS
            for phrase in prompt.phrases:
                assert words_of(prompt, phrase) == encode(names[phrase]).tokens[1:-1]
        if per_prompt:
            assert {len(prompt.phrases) for prompt in prompts[:-1]} == {40}
        else:  # as many as fit: one more name would not
            assert all(len(prompt.ids) > MAX_TOKENS - 7 for prompt in prompts[:-1])


def test_categories_with_words_around_their_names() -> None:
    """GLIP's prompts for ODinW: only the name is looked for, and the names are the data's own."""
    prompts = [CategoryPrompt("flat mushroom", suffix=", on wood"), CategoryPrompt("hand", "a small ", " of a person")]
    listed = CategoryList.of(["CoW", "chanterelle"], prompts)
    assert listed.caption == "flat mushroom, on wood. a small hand of a person"
    assert [[listed.caption[start:end] for start, end in spans] for spans in listed.spans] == [
        ["flat mushroom"],
        ["hand"],
    ]
    work = listed.work(["chanterelle", "CoW"])
    (prompt,) = work.prompts
    assert [words_of(prompt, phrase) for phrase in (0, 1)] == [["hand"], ["flat", "mushroom"]]
    assert prompt.ids == encode(listed.caption).ids and not work.dropped


def test_categories_without_prompts_are_asked_for_as_in_detection() -> None:
    names = ["traffic_light", "cup (of tea)", "dog"]
    (expected,), _ = category_prompts(names)
    (found,), _ = CategoryList.of(names).work(names)
    assert found == expected


@pytest.mark.parametrize(
    ("names", "prompts", "words"),
    [
        (["a", "b"], [CategoryPrompt("a")], "1 prompts for the 2 categories a, b"),
        (["a", "a"], [], "two categories have the same name"),
        ([f"category {n}" for n in range(100)], [], "the prompts of 100 categories have no room in 256 tokens"),
        (["a", "b"], [CategoryPrompt("a"), CategoryPrompt("", "the ", " one")], "the prompt of 'b' has no name"),
    ],
)
def test_prompts_that_cannot_be_asked(names: list[str], prompts: list[CategoryPrompt], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CategoryList.of(names, prompts)
