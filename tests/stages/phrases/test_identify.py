"""Script and language of captions that are not English."""

from __future__ import annotations

import sys

import pytest

from stages.phrases import NounPhraseExtractor
from stages.phrases.identify import count_languages, language_of, script_of

CAPTIONS = {
    "de": "Ein kleiner Junge spielt mit seinem Hund am Strand",
    "fr": "Deux femmes sont assises sur un banc dans le parc",
    "es": "Bicicleta roja delante de una casa antigua",
    "it": "Il gatto dorme vicino alla finestra",
    "pt": "Duas mulheres estão sentadas em um banco no parque",
    "nl": "Twee vrouwen zitten op een bankje in het park",
    "pl": "Dzieci biegną przez śnieg i się śmieją",
    "tr": "Gün batımında dağların manzarası",
    "vi": "Một cậu bé chơi với con chó của mình trên bãi biển",
    "ru": "Маленький мальчик играет с собакой на пляже",
    "el": "Ένα μικρό αγόρι παίζει με τον σκύλο του στην παραλία",
    "he": "ילד קטן משחק עם הכלב שלו בחוף",
    "hi": "एक छोटा लड़का समुद्र तट पर अपने कुत्ते के साथ खेल रहा है",
    "zh": "两个女人坐在公园的长椅上",
    "ja": "公園のベンチに座る二人の女性",
    "ko": "공원 벤치에 앉아 있는 두 여자",
}


@pytest.mark.parametrize(("language", "caption"), CAPTIONS.items())
def test_another_language_has_no_phrase_and_is_named(language: str, caption: str) -> None:
    (parsed,) = NounPhraseExtractor().parse([caption])
    assert parsed.phrases == [] and parsed.reason == "not_english"
    assert language_of(caption) == language


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Ein Hund", "Latin"),
        ("собака dog", "Cyrillic"),
        ("两个女人", "Han"),
        ("小さな男の子", "Japanese"),
        ("カメラ 犬", "Japanese"),
        ("공원 벤치", "Hangul"),
        ("ولد صغير", "Arabic"),
        ("123 :) 😀", "none"),
        ("", "none"),
    ],
)
def test_the_script_is_that_of_most_letters(text: str, script: str) -> None:
    assert script_of(text) == script


def test_every_caption_is_counted_once() -> None:
    others = [CAPTIONS["de"], CAPTIONS["de"], CAPTIONS["ja"], CAPTIONS["ru"]]
    assert count_languages(10, others, 2) == {
        "Cyrillic": {"ru": 1},
        "Japanese": {"ja": 1},
        "Latin": {"de": 2, "en": 4},
        "none": {"none": 2},
    }
    assert count_languages(0, [], 0) == {}


def test_what_looks_english_or_cannot_be_told_is_undetermined(monkeypatch: pytest.MonkeyPatch) -> None:
    assert language_of("the old man and the sea") == "und"
    monkeypatch.setitem(sys.modules, "py3langid", None)
    assert language_of(CAPTIONS["de"]) == "und"
