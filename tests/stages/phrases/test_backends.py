"""Which backend a name means."""

from __future__ import annotations

import pytest

from stages.phrases.backends import DEFAULT, NAMES, open_backend
from stages.stage import UserError


@pytest.mark.parametrize("name", NAMES)
def test_a_backend_says_its_own_name(name: str) -> None:
    assert open_backend(name).name == name


def test_auto_is_the_default() -> None:
    assert open_backend("auto").name == DEFAULT


def test_an_unknown_name_is_an_error_of_the_user_that_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"phrases.backend: 'stanza' is none of auto, distilled, spacy, nltk"):
        open_backend("stanza")
