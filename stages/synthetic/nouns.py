"""The things that scenes are made of: reads nouns.tsv, the table of names, synonyms, tiers and ranks."""

from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("nouns.tsv")


@dataclass(frozen=True)
class Noun:
    """One nameable thing.

    kind: "count" (a dog, two dogs), "plural" (scissors: no singular) or "mass" (bread: neither a nor two).
    synonyms: (singular, plural) pairs. tier: "common", "rare" or "unseen". rank: 1 is the most frequent.
    colour: the colour its sprite shows, "" where no single word is fair. tints: the colours it is drawn in, empty
    where it only comes as it is. codepoint: the emoji whose image it is.
    """

    rank: int
    name: str
    plural: str
    kind: str
    synonyms: tuple[tuple[str, str], ...]
    group: str
    tier: str
    colour: str
    tints: tuple[str, ...]
    codepoint: int

    def names(self) -> tuple[tuple[str, str], ...]:
        """Every (singular, plural) that may stand for this noun in a caption, the plain name first."""
        return ((self.name, self.plural), *self.synonyms)


def read_table(path: Path = TABLE) -> tuple[Noun, ...]:
    """All nouns, by rank."""
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    columns = header.split("\t")
    return tuple(_parse(dict(zip(columns, line.split("\t"), strict=True))) for line in lines)


def _parse(row: dict[str, str]) -> Noun:
    """A dash stands for nothing; synonyms are singular/plural, parted by |."""
    cell = {key: "" if value == "-" else value for key, value in row.items()}
    synonyms = [pair.strip().split("/") for pair in cell["synonyms"].split("|")] if cell["synonyms"] else []
    return Noun(
        rank=int(cell["rank"]),
        name=cell["name"],
        plural=cell["plural"],
        kind=cell["kind"],
        synonyms=tuple((one, many) for one, many in synonyms),
        group=cell["group"],
        tier=cell["tier"],
        colour=cell["colour"],
        tints=tuple(cell["tints"].split()),
        codepoint=int(cell["codepoint"], 16),
    )


# Pairs where the second is a kind of the first, though its name does not say so.
_KINDS = (("car", "taxi"), ("truck", "fire engine"), ("truck", "ambulance"))


def confusable(a: Noun, b: Noun) -> bool:
    """True where the name of one may fairly be taken to mean the other too: a pine tree is a tree.

    Confusable nouns never meet in a scene, so that "a tree" always has one fair reading.
    """
    names_a, names_b = ([name for name, _ in noun.names()] for noun in (a, b))
    inside = any(f" {one}".endswith(f" {two}") or f" {two}".endswith(f" {one}") for one in names_a for two in names_b)
    return inside or (a.name, b.name) in _KINDS or (b.name, a.name) in _KINDS


NOUNS = read_table()
BY_NAME = {noun.name: noun for noun in NOUNS}
