"""Tokens of captions by way of the vocabulary, against plain tokenizing."""

from __future__ import annotations

import numpy as np

from stages.phrases.language import KNOWN_BITS
from stages.phrases.tokens import plain_spaces, tokenize
from stages.phrases.vocabulary import Vocabulary

CAPTIONS = ["a man in a red shirt", "", "A 5-year-old's “toy” , £ 4.50 #x", "x", "the dog\u00a0runs ... 😀"]


def test_vocabulary_gives_the_tokens_of_each_caption() -> None:
    vocabulary = Vocabulary(np.zeros(KNOWN_BITS, bool), remember=4)
    for _ in range(3):  # the memory is cleared in between
        arrays = vocabulary.tokens(CAPTIONS)
        expected = []
        for i, caption in enumerate(CAPTIONS):
            offset = 0
            for piece in plain_spaces(caption).split(" "):
                expected += [(i, token.start + offset, token.end + offset, token.form) for token in tokenize(piece)]
                offset += len(piece) + 1
        forms = [vocabulary.forms[type_] for type_ in arrays.type]
        found = zip(arrays.caption.tolist(), arrays.start.tolist(), arrays.end.tolist(), forms, strict=True)
        assert list(found) == expected
