"""Checks of figures that have a usual band; those outside of it are warnings, with the limit and why it matters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

BOXES_PER_IMAGE = (1.2, 5.0)
TOP_PHRASE_SHARE = 0.02
WHOLE_IMAGE_SHARE = 0.10
NEAR_DUPLICATE_SHARE = 0.20
REJECT_SHARE = 0.05
PILE_UP_SHARE = 0.30
PILE_UP_WIDTH = 5  # bins of 0.01 above the threshold
OTHER_LANGUAGE_SHARE = 0.05
REPEATED_SHARE = 0.05
UNGROUNDED_SHARE = 0.75
GOLD_PRECISION = 0.80
SURE = 0.5  # the score above which GLIP keeps a box
TEACHER_RECALL = 0.20
# glip-nano, which knows drawings, gives 0.12 on photographs and 0.8 on drawings.
TEACHER_BOXES = 0.15
FEWEST = 100  # pairs or boxes under which a share says little
FEWEST_ASKED = 30  # phrases or true boxes under which finding hardly any may be chance

UNKNOWN_IMAGES = (
    "The images are probably outside of what this teacher knows, so that its labels mean little: take another "
    "(`phrasebox teacher info` says what the packaged ones are for)."
)

REASONS = {
    "parts_missing": "The run is not finished: every figure is of a part of the corpus.",
    "stage_incomplete": "Later steps of the funnel look lower than they will be.",
    "no_images": "Captions alone have no labels: count their phrases, but do not expect boxes.",
    "no_boxes": "There is nothing to train on. Look at the teacher's scores.",
    "rejected": "The source or its download is at fault more often than single images are.",
    "other_language": "The phrase extractor reads English.",
    "duplicates": "The student sees them more often than the others.",
    "ungrounded": "Captions speak of what is not in the image, or of what the teacher does not see.",
    "boxes_per_image": "GLIP has 3.25, GRIT 1.52, CC3M-Lite 3.33; at 6.0, more data made YOLO-World's student worse.",
    "top_phrase": "The tail is what pseudo labels are for; one frequent phrase teaches little.",
    "whole_image": "Such a box says that something is there, but not where.",
    "near_duplicates": "Phrases are ambiguous there, or the teacher does not tell them apart.",
    "score_pile_up": "A small change of the threshold, or of the teacher, changes the data a lot.",
    "teacher_recall": UNKNOWN_IMAGES,
    "teacher_boxes": UNKNOWN_IMAGES,
    "gold_precision": "Wrong boxes teach wrong names; a higher threshold or a better teacher makes fewer.",
}

Stats = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """One figure against its band. `limit` is the most or the least that is usual, or [least, most].

    `text` says what was found, for a figure that is `unusual`.
    """

    code: str
    value: float
    limit: Any
    unusual: bool
    text: str

    @property
    def reason(self) -> str:
        return REASONS["rejected" if self.code.startswith("rejected_") else self.code]


def warnings(stats: Stats) -> list[dict[str, Any]]:
    """Every figure of stats.json that is out of its band: {code, value, limit, text, reason}, in a fixed order."""
    return [
        {"code": check.code, "value": check.value, "limit": check.limit, "text": check.text, "reason": check.reason}
        for check in checks(stats)
        if check.unusual
    ]


def checks(stats: Stats) -> list[Check]:
    """All that could be checked, unusual or not: what a run does not have, or has too little of, is left out."""
    found = [*_coverage(stats), *_rejects(stats), *_texts(stats)]
    if stats["boxes"] >= FEWEST:
        found += [*_boxes(stats), *_pile_up(stats)]
    return [*found, *_teacher(stats), *_gold(stats)]


def _at_most(code: str, value: float, limit: float, text: str) -> Check:
    return Check(code, value, limit, value > limit, text)


def _at_least(code: str, value: float, limit: float, text: str) -> Check:
    return Check(code, value, limit, value < limit, text)


def _coverage(stats: Stats) -> Iterator[Check]:
    parts = stats["parts"]
    counted, planned = parts["counted"], parts["planned"]
    yield _at_least("parts_missing", counted, planned, f"Only {counted:,} of {planned:,} parts are counted here.")
    have = {name: parts[name] for name in ("phrases", "labels", "pseudo") if parts.get(name)}
    if have:
        short = [f"{name} for {number:,}" for name, number in have.items() if number < counted]
        text = f"There are {' and '.join(short)} of {counted:,} parts."
        yield _at_least("stage_incomplete", min(have.values()), counted, text)
    if parts.get("labels") and stats["pairs"]:
        text = "No pair has an image, so that nothing was labelled."
        yield _at_least("no_images", stats["pairs_with_image"], 1, text)
    if parts.get("pseudo") and stats["pairs_with_image"]:
        yield _at_least("no_boxes", stats["boxes"], 1, "No box was kept.")


def _rejects(stats: Stats) -> Iterator[Check]:
    taken_in = stats["pairs"] + sum(stats["rejected"].get("ingest", {}).values())
    if taken_in < FEWEST:
        return
    for stage, by_reason in stats["rejected"].items():
        share = sum(by_reason.values()) / taken_in
        worst = max(by_reason, key=lambda reason: (by_reason[reason], reason))
        text = f"{stage} rejected {share:.1%} of all rows, most of them as {worst} ({by_reason[worst]:,})."
        yield _at_most(f"rejected_{stage}", share, REJECT_SHARE, text)


def _texts(stats: Stats) -> Iterator[Check]:
    pairs = stats["pairs"]
    if pairs < FEWEST:
        return
    not_english = stats["dropped"].get("phrases", {}).get("not_english", 0)
    share = max(not_english, stats["other_script"]) / pairs
    text = f"{share:.1%} of the captions look like another language or script."
    yield _at_most("other_language", share, OTHER_LANGUAGE_SHARE, text)
    repeats = stats["duplicates"]["image_captions"]["share"]
    if repeats is not None:
        text = f"{repeats:.1%} of the pairs repeat an earlier image together with its caption."
        yield _at_most("duplicates", repeats, REPEATED_SHARE, text)
    asked = stats["phrases_asked"]
    if asked >= FEWEST and stats["parts"].get("pseudo"):
        share = 1 - stats["phrases_grounded"] / asked
        yield _at_most("ungrounded", share, UNGROUNDED_SHARE, f"{share:.0%} of the phrases asked for got no box.")


def _boxes(stats: Stats) -> Iterator[Check]:
    (low, high), density = BOXES_PER_IMAGE, stats["boxes_per_image"]
    text = f"{density:.2f} boxes per image is outside of the usual band."
    yield Check("boxes_per_image", density, [low, high], not low <= density <= high, text)
    top = stats["phrases_tables"].get("most_frequent", [])
    if top and stats["unique_phrases"] > FEWEST:
        yield _top_phrase(top, stats["boxes"])
    shapes = stats["box_shapes"]
    share = shapes["whole_image_share"]
    yield _at_most("whole_image", share, WHOLE_IMAGE_SHARE, f"{share:.1%} of the boxes cover the whole image.")
    share = shapes["near_duplicate_share"]
    text = f"{share:.1%} of the boxes nearly coincide with a box of another phrase."
    yield _at_most("near_duplicates", share, NEAR_DUPLICATE_SHARE, text)


def _top_phrase(top: list[Stats], boxes: int) -> Check:
    shares = [row["boxes"] / boxes for row in top]
    over = sum(share > TOP_PHRASE_SHARE for share in shares)
    rest = f"; {over} phrases are over {TOP_PHRASE_SHARE:.0%}." if over > 1 else "."
    text = f"“{top[0]['phrase']}” alone makes {shares[0]:.1%} of all boxes{rest}"
    return _at_most("top_phrase", shares[0], TOP_PHRASE_SHARE, text)


def _pile_up(stats: Stats) -> Iterator[Check]:
    bins = stats["histograms"]["score_kept"]
    start = round(stats["min_score"] * 100)
    share = sum(bins[start : start + PILE_UP_WIDTH]) / stats["boxes"]
    text = f"{share:.1%} of the kept boxes score within 0.05 of the threshold {stats['min_score']:g}."
    yield _at_most("score_pile_up", share, PILE_UP_SHARE, text)


def _teacher(stats: Stats) -> Iterator[Check]:
    """Whether the teacher finds what it is asked for: by true boxes that captions name, else by how much it finds."""
    sure = next((i for i, row in enumerate(stats["by_threshold"]) if row["threshold"] >= SURE), None)
    if sure is None:
        return
    named, asked = (stats["gold"] or {}).get("named", 0), stats["phrases_asked"]
    if named >= FEWEST_ASKED:
        recall = stats["gold"]["by_threshold"][sure]["matched"] / named
        text = f"Boxes above {SURE:g} find only {recall:.1%} of the true boxes that the captions name."
        yield _at_least("teacher_recall", recall, TEACHER_RECALL, text)
    elif asked >= FEWEST_ASKED:
        share = stats["by_threshold"][sure]["boxes"] / asked
        text = f"The teacher gives only {100 * share:.1f} boxes above {SURE:g} for every 100 phrases asked for."
        yield _at_least("teacher_boxes", share, TEACHER_BOXES, text)


def _gold(stats: Stats) -> Iterator[Check]:
    row = (stats["gold"] or {}).get("at_min_score")
    if row and row["judged"] >= FEWEST:
        text = f"Only {row['precision']:.1%} of the boxes above {row['threshold']:g} agree with the true boxes."
        yield _at_least("gold_precision", row["precision"], GOLD_PRECISION, text)
