"""Which captions read as another language."""

from __future__ import annotations

import pytest

from stages.phrases import NounPhraseExtractor

NAMES = """Vincent van Gogh painting|El Niño storm hits Peru|São Paulo skyline|Notre-Dame de Paris|Museo del Prado
spaghetti alla puttanesca|Día de los Muertos altar with candles|a crème brûlée beside pain au chocolat|Sigur Rós on tour
Beyoncé and Zoë at a café|Casa Batlló in Barcelona|Plaza de la Constitución at night"""


@pytest.mark.parametrize("caption", NAMES.replace("\n", "|").split("|"))
def test_foreign_names_and_dishes_in_english_captions_are_english(caption: str) -> None:
    (parsed,) = NounPhraseExtractor().parse([caption])
    assert parsed.reason is None and parsed.phrases
