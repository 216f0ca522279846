"""Classes of heads that a data team may drop: told by word lists and letter case, so a rule of thumb, not a parse."""

from __future__ import annotations

import re

from stages.phrases.lexicon import MONTHS, words
from stages.phrases.spans import NounPhrase

MEDIUM = frozenset(
    words(
        """photo photos photograph photographs photography picture pictures pic pics image images shot shots snapshot
        footage video videos clip screenshot illustration illustrations vector vectors clipart rendering render
        close-up closeup background backgrounds backdrop wallpaper thumbnail stock"""
    )
) | {"close - up", "close up", "clip art", "time lapse", "time - lapse"}

_TIME = MONTHS | frozenset(
    words(
        """monday tuesday wednesday thursday friday saturday sunday spring summer autumn winter fall day days night
        nights morning afternoon evening noon midnight dawn dusk week weekend month year years decade decades
        century centuries hour hours minute minutes second seconds moment moments time times season holiday holidays
        christmas easter halloween thanksgiving birthday anniversary today tomorrow yesterday tonight"""
    )
)
_QUANTITY = frozenset(
    words(
        """lot lots pair pairs number numbers variety range dozen dozens hundreds thousands millions million billion
        plenty amount couple kind kinds type types sort sorts bit rest half majority plethora assortment kg g mg lb
        lbs oz ml l cl litre litres liter liters cm mm m km ft inch inches yards miles percent % °c °f"""
    )
)
_ABSTRACT = frozenset(
    words(
        """love success idea ideas technology inspiration journey advice tips tip speed danger life death hope joy
        peace freedom happiness sadness anger fear beauty fun luck style fashion history culture tradition business
        work job sale sales price prices cost value quality service support help information news story stories plan
        plans project education health safety security energy power strength success failure future past present
        memory memories dream dreams experience adventure attention interest concept design way reason result
        problem solution question answer opinion choice decision luxury knowledge skill skills career fame victory
        defeat action motion performance"""
    )
)
_TITLES = frozenset(
    words("""mr mrs ms miss dr prof professor sir lady lord king queen prince princess president captain saint""")
)
_NAMES = frozenset(
    words(
        """adam alex alice amy ana andrea andrew anna anne anthony ben bob brian carlos charles charlie chris daniel
        david diana diego donald ed elena elizabeth emily emma eric eva frank george grace hannah harry helen henry
        ivan jack jacob james jan jane jason jean jennifer jessica jim joe john jonathan jose joseph juan julia kate
        katie kevin kim larry laura leo lena lisa liz louis lucas lucy luke maria marie mark martin mary matt max
        maya mei mia michael michelle mike mohamed mohammed nancy nick nina noah oliver olivia omar oscar pablo
        patrick paul pedro peter philip priya rachel rebecca richard rob robert rosa ruth ryan sam samuel sara sarah
        scott simon sofia sophie stephen steve steven susan tim tom tony tyler victoria william yuki zoe"""
    )
)
_PLACES = frozenset(
    words(
        """africa america asia australia austria belgium brazil britain bulgaria canada chile china colombia croatia
        cuba cyprus denmark egypt england estonia europe finland france germany ghana greece hungary iceland india
        indonesia iran iraq ireland israel italy jamaica japan jordan kenya korea latvia lebanon lithuania malaysia
        malta mexico morocco nepal netherlands nigeria norway pakistan panama peru philippines poland portugal
        romania russia scotland serbia singapore slovakia slovenia spain sweden switzerland syria taiwan tanzania
        thailand tunisia turkey uganda uk ukraine usa vietnam wales alabama alaska arizona arkansas california
        colorado connecticut delaware florida georgia hawaii idaho illinois indiana iowa kansas kentucky louisiana
        maine maryland massachusetts michigan minnesota mississippi missouri montana nebraska nevada ohio oklahoma
        oregon pennsylvania tennessee texas utah vermont virginia wisconsin wyoming amsterdam athens atlanta bangkok
        barcelona beijing belgrade berlin boston brussels budapest cairo chicago copenhagen dallas delhi denver
        dubai dublin edinburgh florence geneva hamburg helsinki houston istanbul jakarta jerusalem johannesburg
        kyoto lagos lima lisbon liverpool london lyon madrid manchester marrakesh melbourne miami milan montreal
        moscow mumbai munich nairobi naples oslo oxford paris philadelphia prague rome seattle seoul shanghai
        stockholm sydney tokyo toronto vancouver venice vienna warsaw washington zurich"""
    )
) | {
    "new york", "los angeles", "san francisco", "san diego", "las vegas", "new orleans", "new zealand", "south africa",
    "south korea", "north korea", "hong kong", "sri lanka", "costa rica", "puerto rico", "cape town", "buenos aires",
    "rio de janeiro", "saudi arabia", "united states", "united kingdom", "czech republic", "new jersey", "new mexico",
    "north carolina", "south carolina", "north dakota", "south dakota", "west virginia", "new hampshire",
    "rhode island",
}  # fmt: skip

_AMOUNT = re.compile(r"[$€£¥]\s?[\d.,]+.*|[\d.,]+ ?(?:[a-z]{1,3}|°[cf])|[\d.,]+ ?%")
_DECADE = re.compile(r"(?:1\d|20)\d0'?s|\d{2}'?s|\d{1,2}(?:st|nd|rd|th)")


def head_classes(phrase: NounPhrase) -> set[str]:
    """Those of person_name, place_name, time, quantity and abstract that the phrase's head belongs to."""
    classes = set()
    if phrase.head in _TIME or _DECADE.fullmatch(phrase.head):
        classes.add("time")
    if phrase.head in _QUANTITY or _AMOUNT.fullmatch(phrase.norm):
        classes.add("quantity")
    if phrase.head in _ABSTRACT:
        classes.add("abstract")
    if phrase.norm in _PLACES:
        classes.add("place_name")
    elif _is_person(phrase):
        classes.add("person_name")
    return classes


def _is_person(phrase: NounPhrase) -> bool:
    """Capitalised words of which the first is a given name or a title: "Ana Lopez", "Dr. Hill"."""
    words = [word.strip(".,") for word in phrase.text.split()]
    if not words or len(words) > 4 or not all(word[:1].isupper() or word == "&" for word in words):
        return False
    first = words[0].lower()
    return first in _NAMES or (first in _TITLES and len(words) > 1)
