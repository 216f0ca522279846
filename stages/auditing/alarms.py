"""Warnings: figures outside of what is usual, each with its limit and why it matters."""

from __future__ import annotations

from collections.abc import Iterator
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
FEWEST = 100  # pairs or boxes under which a share says little

REASONS = {
    "parts_missing": "The run is not finished: every figure is of a part of the corpus.",
    "stage_incomplete": "Later steps of the funnel look lower than they will be.",
    "no_boxes": "There is nothing to train on. Look at the teacher's scores.",
    "rejected": "The source or its download is at fault more often than single pictures are.",
    "other_language": "The phrase extractor reads English.",
    "duplicates": "The student sees them more often than the others.",
    "ungrounded": "Captions speak of what is not in the picture, or of what the teacher does not see.",
    "boxes_per_image": "GLIP has 3.25, GRIT 1.52, CC3M-Lite 3.33; at 6.0, more data made YOLO-World's student worse.",
    "top_phrase": "The tail is what pseudo labels are for; one frequent phrase teaches little.",
    "whole_image": "Such a box says that something is there, but not where.",
    "near_duplicates": "Phrases are ambiguous there, or the teacher does not tell them apart.",
    "score_pile_up": "A small change of the threshold, or of the teacher, changes the data a lot.",
    "gold_precision": "Wrong boxes teach wrong names; a higher threshold or a better teacher makes fewer.",
}

Warning = dict[str, Any]


def warnings(stats: dict[str, Any]) -> list[Warning]:
    """Every figure of stats.json that is out of its band: {code, value, limit, text, reason}, in a fixed order.

    `limit` is the most or the least that is usual, or [least, most].
    """
    found = [*_coverage(stats), *_rejects(stats), *_texts(stats)]
    if stats["boxes"] >= FEWEST:
        found += [*_boxes(stats), *_pile_up(stats)]
    return found + list(_gold(stats))


def _warning(code: str, value: float, limit: Any, text: str) -> Warning:
    reason = REASONS["rejected" if code.startswith("rejected_") else code]
    return {"code": code, "value": value, "limit": limit, "text": text, "reason": reason}


def _coverage(stats: dict[str, Any]) -> Iterator[Warning]:
    parts = stats["parts"]
    if parts["counted"] < parts["planned"]:
        yield _warning(
            "parts_missing",
            parts["counted"],
            parts["planned"],
            f"Only {parts['counted']:,} of {parts['planned']:,} parts are counted here.",
        )
    for dataset in ("phrases", "labels", "pseudo"):
        if 0 < parts.get(dataset, 0) < parts["counted"]:
            yield _warning(
                "stage_incomplete",
                parts[dataset],
                parts["counted"],
                f"{dataset} exists for {parts[dataset]:,} of {parts['counted']:,} parts.",
            )
    if parts.get("pseudo") and not stats["boxes"]:
        yield _warning("no_boxes", 0, 1, "No box was kept.")


def _rejects(stats: dict[str, Any]) -> Iterator[Warning]:
    taken_in = stats["pairs"] + sum(stats["rejected"].get("ingest", {}).values())
    for stage, by_reason in stats["rejected"].items():
        total = sum(by_reason.values())
        share = total / taken_in if taken_in else 0.0
        if share > REJECT_SHARE and taken_in >= FEWEST:
            worst = max(by_reason, key=lambda reason: (by_reason[reason], reason))
            yield _warning(
                f"rejected_{stage}",
                share,
                REJECT_SHARE,
                f"{stage} rejected {share:.1%} of all rows, most of them as {worst} ({by_reason[worst]:,}).",
            )


def _texts(stats: dict[str, Any]) -> Iterator[Warning]:
    pairs = stats["pairs"]
    if pairs < FEWEST:
        return
    not_english = stats["dropped"].get("phrases", {}).get("not_english", 0)
    share = max(not_english, stats["other_script"]) / pairs
    if share > OTHER_LANGUAGE_SHARE:
        yield _warning(
            "other_language",
            share,
            OTHER_LANGUAGE_SHARE,
            f"{share:.1%} of the captions look like another language or script.",
        )
    repeats = stats["duplicates"]["image_captions"]
    if repeats["share"] and repeats["share"] > REPEATED_SHARE:
        yield _warning(
            "duplicates",
            repeats["share"],
            REPEATED_SHARE,
            f"{repeats['share']:.1%} of the pairs repeat an earlier image together with its caption.",
        )
    asked, grounded = stats["phrases_asked"], stats["phrases_grounded"]
    if asked >= FEWEST and stats["parts"].get("pseudo") and 1 - grounded / asked > UNGROUNDED_SHARE:
        yield _warning(
            "ungrounded",
            1 - grounded / asked,
            UNGROUNDED_SHARE,
            f"{1 - grounded / asked:.0%} of the phrases that were asked for got no box.",
        )


def _boxes(stats: dict[str, Any]) -> Iterator[Warning]:
    low, high = BOXES_PER_IMAGE
    density = stats["boxes_per_image"]
    if not low <= density <= high:
        yield _warning(
            "boxes_per_image",
            density,
            [low, high],
            f"{density:.2f} boxes per image is outside of the usual band.",
        )
    top = stats["phrases_tables"].get("most_frequent", [])
    if top and top[0]["boxes"] / stats["boxes"] > TOP_PHRASE_SHARE and stats["unique_phrases"] > 100:
        share = top[0]["boxes"] / stats["boxes"]
        over = sum(row["boxes"] / stats["boxes"] > TOP_PHRASE_SHARE for row in top)
        yield _warning(
            "top_phrase",
            share,
            TOP_PHRASE_SHARE,
            f"“{top[0]['phrase']}” alone makes {share:.1%} of all boxes"
            + (f"; {over} phrases are over {TOP_PHRASE_SHARE:.0%}." if over > 1 else "."),
        )
    shapes = stats["box_shapes"]
    if shapes["whole_image_share"] > WHOLE_IMAGE_SHARE:
        yield _warning(
            "whole_image",
            shapes["whole_image_share"],
            WHOLE_IMAGE_SHARE,
            f"{shapes['whole_image_share']:.1%} of the boxes cover the whole image.",
        )
    if shapes["near_duplicate_share"] > NEAR_DUPLICATE_SHARE:
        yield _warning(
            "near_duplicates",
            shapes["near_duplicate_share"],
            NEAR_DUPLICATE_SHARE,
            f"{shapes['near_duplicate_share']:.1%} of the boxes nearly coincide with a box of another phrase.",
        )


def _pile_up(stats: dict[str, Any]) -> Iterator[Warning]:
    bins = stats["histograms"]["score_kept"]
    start = round(stats["min_score"] * 100)
    share = sum(bins[start : start + PILE_UP_WIDTH]) / stats["boxes"]
    if share > PILE_UP_SHARE:
        yield _warning(
            "score_pile_up",
            share,
            PILE_UP_SHARE,
            f"{share:.1%} of the kept boxes score within 0.05 of the threshold {stats['min_score']:g}.",
        )


def _gold(stats: dict[str, Any]) -> Iterator[Warning]:
    row = (stats["gold"] or {}).get("at_min_score")
    if row and row["judged"] >= FEWEST and row["precision"] < GOLD_PRECISION:
        yield _warning(
            "gold_precision",
            row["precision"],
            GOLD_PRECISION,
            f"Only {row['precision']:.1%} of the boxes above {row['threshold']:g} agree with the true boxes.",
        )
