"""Captions: phrases for some of the things in an image, set in templates, with the noise of the web around them."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from stages.synthetic import templates
from stages.synthetic.frequencies import draw_noun
from stages.synthetic.layout import Group, Placed
from stages.synthetic.nouns import Noun, confusable
from stages.synthetic.phrases import name_absent, name_group
from stages.synthetic.randomness import Stream, cumulative
from stages.synthetic.relations import true_relations

MENTION = 0.73  # of the groups in an image
ABSENT = 0.24  # of the captions name something that the image does not show
NO_PHRASE = 0.02  # of the captions name nothing at all
MOST_MENTIONS = 4

_STYLES = ("plain", "stock", "fragment", "title", "social", "file")
_STYLE_SUMS = cumulative([44, 17, 13, 10, 11, 5])


@dataclass(frozen=True)
class Mention:
    """One phrase. group: the group it names, None for a thing that is not in the image."""

    text: str
    group: int | None
    noun: str


@dataclass(frozen=True)
class Caption:
    """text, the spans of its phrases in order, and what each names: a group or None (not there), and its noun."""

    text: str
    spans: list[tuple[int, int]]
    groups: list[int | None]
    nouns: list[str]


Piece = str | Mention


def write_caption(split: str, groups: list[Group], placed: list[Placed], stream: Stream) -> Caption:
    """A caption for the image; rare nouns of the gold split are always mentioned."""
    due = split == "gold" and any(group.noun.tier == "rare" for group in groups)
    if not due and stream.chance(NO_PHRASE):
        return Caption(stream.pick(templates.WORDLESS)(stream), [], [], [])
    style = stream.weighted(_STYLES, _STYLE_SUMS)
    bare = style in ("fragment", "title", "file")
    mentions = _mention_groups(split, groups, placed, bare, stream)
    pieces = _core(mentions, placed, bare, stream)
    if stream.chance(ABSENT) and len(mentions) < MOST_MENTIONS:
        pieces = _add_absent(pieces, _absent_noun(split, groups, stream), bare, stream)
    pieces = _dress(style, pieces, [groups[m.group].noun for m in mentions if m.group is not None], stream)
    return _assemble(_change_case(pieces, style, stream))


def _mention_groups(split: str, groups: list[Group], placed: list[Placed], bare: bool, stream: Stream) -> list[Mention]:
    present = stream.shuffled(sorted({thing.group for thing in placed}))
    due = {g for g in present if split == "gold" and groups[g].noun.tier == "rare"}
    chosen = [g for g in present if g in due or stream.chance(MENTION)][:MOST_MENTIONS] or present[:1]
    nouns = [groups[g].noun for g in present]
    mentions = []
    for g in chosen:
        members = [thing for thing in placed if thing.group == g]
        must_colour = nouns.count(groups[g].noun) > 1
        mentions.append(Mention(name_group(groups[g], members, must_colour, bare, stream), g, groups[g].noun.name))
    return mentions


def _absent_noun(split: str, groups: list[Group], stream: Stream) -> Noun:
    while True:
        noun = draw_noun(split, stream)
        if not any(confusable(noun, group.noun) for group in groups):
            return noun


def _core(mentions: list[Mention], placed: list[Placed], bare: bool, stream: Stream) -> list[Piece]:
    """The mentions with words between them; a relation only where it is true."""
    first, *rest = mentions
    pieces: list[Piece] = [first]
    if rest and stream.chance(0.3 if bare else 0.65):
        numbered = list(enumerate(placed))
        of = [[item for item in numbered if item[1].group == mention.group] for mention in (first, rest[0])]
        relations = true_relations(of[0], of[1])
        if relations:
            verb = "" if bare else stream.pick(templates.VERBS)
            pieces += [f" {verb}{stream.pick(stream.pick(relations))} ", rest.pop(0)]
    for number, mention in enumerate(rest):
        last = number == len(rest) - 1
        pieces += [stream.pick(templates.LAST_JOINTS if last and not bare else templates.JOINTS), mention]
    return pieces


def _add_absent(pieces: list[Piece], noun: Noun, bare: bool, stream: Stream) -> list[Piece]:
    """Adds the mention of something that is not there, said to be missing or just said."""
    if not bare and stream.chance(0.45):
        joint = stream.pick(templates.MISSING)
        return [*pieces, joint, Mention(name_absent(noun, bare, joint.endswith("but "), stream), None, noun.name)]
    mention = Mention(name_absent(noun, bare, False, stream), None, noun.name)
    return [mention, stream.pick(templates.JOINTS), *pieces] if stream.chance(0.3) else [*pieces, ", ", mention]


def _dress(style: str, pieces: list[Piece], nouns: list[Noun], stream: Stream) -> list[Piece]:
    """The noise of each style before and after the core."""
    if style == "stock":
        before, after = stream.pick(templates.STOCK_OPENINGS), stream.pick(templates.STOCK_CLOSINGS)(stream)
    elif style == "social":
        before, after = stream.pick(templates.SOCIAL_OPENINGS), " " + templates.hashtags(nouns, stream)
    elif style == "file":
        name = templates.file_name(stream)
        before, after = ("", f" {name}") if stream.chance(0.4) else (f"{name} - ", "")
    elif style == "title":
        before, after = stream.pick(templates.TITLE_OPENINGS), stream.pick(templates.TITLE_CLOSINGS)
    elif style == "fragment":
        before, after = stream.pick(templates.ALT_OPENINGS), stream.pick(templates.ALT_CLOSINGS)
    else:
        before, closing = stream.pick(templates.FRAMES) if stream.chance(0.5) else ("", "")
        after = closing + stream.pick(templates.ENDINGS)
    dressed: list[Piece] = [before, *pieces, after]
    if stream.chance(0.03):
        return ["“", *dressed, "”"]
    return [*dressed, f" {stream.pick(templates.EMOJI)}"] if stream.chance(0.05) else dressed


def _change_case(pieces: list[Piece], style: str, stream: Stream) -> list[Piece]:
    """Capitals as they come: a sentence, all lower, Title Case or ALL CAPS; never a change of length."""
    kind = stream.uniform()
    if kind < 0.03:
        return _map(pieces, str.upper)
    if kind < (0.5 if style == "title" else 0.08):
        return _map(pieces, _title)
    if kind < 0.75:
        text = "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)
        if not text.startswith(("IMG", "DSC", "#")):
            return _capitalise(pieces)
    return pieces


def _map(pieces: list[Piece], change: Callable[[str], str]) -> list[Piece]:
    return [change(p) if isinstance(p, str) else Mention(change(p.text), p.group, p.noun) for p in pieces]


def _title(text: str) -> str:
    return re.sub(r"(?:^|(?<=[\s(“-]))[a-z]", lambda match: match.group().upper(), text)


def _capitalise(pieces: list[Piece]) -> list[Piece]:
    """The first letter of the whole caption."""
    result = list(pieces)
    for number, piece in enumerate(result):
        text = piece if isinstance(piece, str) else piece.text
        at = next((i for i, letter in enumerate(text) if letter.isalnum()), None)
        if at is not None:
            changed = text[:at] + text[at].upper() + text[at + 1 :]
            result[number] = changed if isinstance(piece, str) else Mention(changed, piece.group, piece.noun)
            break
    return result


def _assemble(pieces: list[Piece]) -> Caption:
    text, spans, groups, nouns = "", [], [], []
    for piece in pieces:
        if isinstance(piece, Mention):
            spans.append((len(text), len(text) + len(piece.text)))
            groups.append(piece.group)
            nouns.append(piece.noun)
            text += piece.text
        else:
            text += piece
    return Caption(text, spans, groups, nouns)
