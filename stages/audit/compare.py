"""`phrasebox audit RUN --against RUN2`: what changed between two runs, by how much; the same images."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.records import ROWS_PER_PART_LIMIT, make_key, part_of
from schemas.tables import PairTable
from stages.audit import samples
from stages.audit.merge import Merged
from stages.flat import Flags
from stages.sample_images import SampleImage, read_samples
from stages.stage import RunIO, UserError

if TYPE_CHECKING:
    from schemas.config import Config

Create = Callable[[str], AbstractContextManager[BinaryIO]]

FIGURES = (
    "pairs",
    "pairs_with_phrases",
    "pairs_with_any_box",
    "pairs_with_boxes",
    "phrases",
    "phrases_asked",
    "phrases_grounded",
    "boxes_labelled",
    "boxes",
    "boxes_per_image",
    "boxes_per_phrase",
    "unique_phrases",
    "unique_heads",
)
SHARES: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "rejected": lambda stats: _share(
        _rejected(stats), stats["pairs"] + sum(stats["rejected"].get("ingest", {}).values())
    ),
    "phrases_grounded": lambda stats: _share(stats["phrases_grounded"], stats["phrases_asked"]),
    "whole_image": lambda stats: stats["box_shapes"]["whole_image_share"],
    "near_duplicates": lambda stats: stats["box_shapes"]["near_duplicate_share"],
    "small_boxes": lambda stats: _share(stats["box_shapes"]["small"], stats["boxes"]),
    "gold_precision": lambda stats: _gold(stats).get("precision"),
    "gold_recall": lambda stats: _gold(stats).get("recall"),
}
LISTED = 40  # phrases of each list
MOST_IMAGES = 24  # shown side by side
ALL_HASHES = 2**64 - 1


def compare_runs(io: RunIO, other: RunIO, config: Config, other_config: Config, create: Create) -> dict[str, Any]:
    """Compare an audited run (`io`, after) with another audited run (`other`, before).

    Writes index.html and stats.json through `create(name)` and returns the changes of the headline figures:
    {figure: {"before", "after", "change"}}; `change` is relative, None where there was nothing before. stats.json also
    has shares, whose change is a difference. Images are
    the seeded sample of `io`; the counterpart of each is the pair of `other` with the same image bytes and caption.
    Raises UserError when a run was not audited.
    """
    from stages.audit.page import embed_images, render_template

    after, before = _stats(io, config.run), _stats(other, other_config.run)
    phrases = compare_phrases(_phrases(other), _phrases(io))
    changes = {name: _change(before[name], after[name]) for name in FIGURES}
    result: dict[str, Any] = {
        "before": _name(before),
        "after": _name(after),
        "figures": changes,
        "shares": {name: _difference(of(before), of(after)) for name, of in SHARES.items()},
        "settings": settings(other_config, config),
        "by_threshold": _by_threshold(before, after),
        "phrases": phrases,
        "warnings": {side: [w["code"] for w in stats["warnings"]] for side, stats in _sides(before, after)},
    }
    result["same_labels"] = all(row["before"] == row["after"] for row in result["by_threshold"])
    both = sorted(side_by_side(io, other, config), key=lambda pair: _kept(pair[0]) == _kept(pair[1]))
    result["pictures"] = {"compared": len(both), "changed": sum(_kept(b) != _kept(a) for b, a in both)}
    with create("stats.json") as file:
        file.write((json.dumps(result, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode())
    page = render_template("compare.html", "compare.js", result=result, data={"pairs": embed_images(both)})
    with create("index.html") as file:
        file.write(page.encode())
    return changes


def _kept(image: SampleImage) -> list[tuple[Any, ...]]:
    """Span, corners and score of each kept box; the two runs may number their phrases differently."""
    spans = [(phrase.start, phrase.end) for phrase in image.phrases]
    return sorted((*spans[box.phrase], *box.corners, box.score) for box in image.boxes if not box.reason)


def _sides(before: Any, after: Any) -> tuple[tuple[str, Any], tuple[str, Any]]:
    return ("before", before), ("after", after)


def _stats(io: RunIO, run: str) -> dict[str, Any]:
    try:
        with io.open("report/stats.json") as file:
            stats: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        raise UserError(f"audit --against: {run} has no report yet; run `phrasebox audit --run {run}` first") from None
    return stats


def _name(stats: dict[str, Any]) -> dict[str, Any]:
    return {name: stats[name] for name in ("corpus", "teacher", "min_score", "score_floor")}


def _change(before: float | None, after: float | None) -> dict[str, Any]:
    relative = (after - before) / before if before and after is not None else None
    return {"before": before, "after": after, "change": relative}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _rejected(stats: dict[str, Any]) -> int:
    return sum(sum(by_reason.values()) for by_reason in stats["rejected"].values())


def _gold(stats: dict[str, Any]) -> dict[str, Any]:
    """Agreement at the filter's threshold; empty without gold."""
    return (stats["gold"] or {}).get("at_min_score") or {}


def _difference(before: float | None, after: float | None) -> dict[str, Any]:
    change = None if before is None or after is None else after - before
    return {"before": before, "after": after, "change": change}


def settings(before: Config, after: Config) -> list[dict[str, Any]]:
    """Config values that differ, as {name, before, after}; the run folder is not one of them."""
    sides = [_flat(config.model_dump(mode="json")) for config in (before, after)]
    names = sorted(sides[0].keys() | sides[1].keys())
    values = [{"name": n, "before": sides[0].get(n), "after": sides[1].get(n)} for n in names if n != "run"]
    return [value for value in values if value["before"] != value["after"]]


def _flat(data: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(data, dict):
        return {name: data}
    return {k: v for key, value in data.items() for k, v in _flat(value, f"{name}.{key}".lstrip(".")).items()}


def _by_threshold(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """Thresholds that both runs have, with boxes, pairs and unique phrases of each."""
    known = {row["threshold"]: row for row in before["by_threshold"]}
    return [
        {"threshold": row["threshold"], "before": known[row["threshold"]], "after": row}
        for row in after["by_threshold"]
        if row["threshold"] in known
    ]


def _phrases(io: RunIO) -> pa.Table:
    with io.open("report/phrases.parquet") as file:
        return pq.read_table(pa.BufferReader(file.read()), columns=["phrase", "hash", "boxes", "sampled"])


def compare_phrases(before: pa.Table, after: pa.Table) -> dict[str, Any]:
    """Phrases with a kept box in one run only, and those whose number of boxes changed most.

    Where a run has more phrases than are counted exactly, its table is an even sample, those of the smallest hashes
    (and some frequent ones). Phrases are then compared only as far as both samples go.
    """
    joined = before.join(after, "hash", join_type="full outer", left_suffix="_before", right_suffix="_after")
    phrase = pc.coalesce(joined["phrase_before"], joined["phrase_after"])
    counts = [pc.fill_null(joined[f"boxes_{side}"], 0).to_numpy() for side in ("before", "after")]
    reach = min(sample_reach(before), sample_reach(after))
    sampled = joined["hash"].to_numpy() <= np.uint64(reach)
    lost, gained = (counts[0] > 0) & (counts[1] == 0) & sampled, (counts[1] > 0) & (counts[0] == 0) & sampled
    both = (counts[0] > 0) & (counts[1] > 0) & sampled
    difference = counts[1] - counts[0]
    return {
        "gained": int(gained.sum()),
        "lost": int(lost.sum()),
        "common": int(both.sum()),
        "exact": reach == ALL_HASHES,
        "most_gained": _listed(phrase, counts, counts[1], gained),
        "most_lost": _listed(phrase, counts, counts[0], lost),
        "more_boxes": _listed(phrase, counts, difference, both & (difference > 0)),
        "fewer_boxes": _listed(phrase, counts, -difference, both & (difference < 0)),
    }


def sample_reach(phrases: pa.Table) -> int:
    """The largest hash up to which a table holds every phrase of its run."""
    if pc.all(phrases["sampled"]).as_py() is not False:
        return ALL_HASHES
    return int(pc.max(phrases.filter(phrases["sampled"])["hash"]).as_py() or 0)


def _listed(phrase: pa.ChunkedArray, counts: list[Any], measure: Any, where: Flags) -> list[dict[str, Any]]:
    """The LISTED phrases of the highest measure, ties in alphabetical order."""
    chosen = np.flatnonzero(where)
    if len(chosen) > LISTED:
        chosen = chosen[measure[chosen] >= np.partition(measure[chosen], -LISTED)[-LISTED]]
    rows = sorted(zip((-measure[chosen]).tolist(), phrase.take(chosen).to_pylist(), chosen.tolist()))[:LISTED]
    return [{"phrase": text, "before": int(counts[0][i]), "after": int(counts[1][i])} for _, text, i in rows]


def side_by_side(io: RunIO, other: RunIO, config: Config) -> list[tuple[SampleImage, SampleImage]]:
    """(before, after) of the seeded sample's images that both runs have, with thumbnails of `io`."""
    merged = Merged(image_pairs=_image_pairs(io))
    keys = samples.sampled_keys(merged, io, min(config.audit.pictures, MOST_IMAGES), config.audit.seed)
    after = _images(io, [make_key(*divmod(key, ROWS_PER_PART_LIMIT)) for key in keys])
    matched = match_pairs(other, after)
    before = {image.key: image for image in _images(other, sorted(matched.values()))}
    in_both = [image for image in after if image.key in matched]
    shown = samples.with_thumbnails(io, in_both, config.ingest.max_pixels)
    return [(before[matched[image.key]], image) for image in shown]


def _image_pairs(io: RunIO) -> dict[int, int]:
    """Pairs with an image by part, from the summaries."""
    found = {}
    for part in io.parts():
        try:
            with io.open(f"summaries/audit/part-{part:07d}.json") as file:
                found[part] = json.load(file)["pairs_with_image"]
        except FileNotFoundError:
            continue
    return found


def _images(io: RunIO, keys: list[str]) -> list[SampleImage]:
    by_part: dict[int, list[str]] = {}
    for key in keys:
        by_part.setdefault(part_of(key), []).append(key)
    return [image for part, names in sorted(by_part.items()) for image in read_samples(io, part, names)]


def match_pairs(io: RunIO, wanted: list[SampleImage]) -> dict[str, str]:
    """Key of an image -> key of the pair of this run with the same image bytes and caption, where there is one.

    The same key is looked at first; then all parts, until every image is found.
    """
    missing = {(image.pair.sha256, image.pair.caption): image.key for image in wanted if image.pair.sha256}
    here = {part_of(image.key) for image in wanted}
    matched: dict[str, str] = {}
    for part in sorted(io.parts(), key=lambda part: (part not in here, part)):
        if not missing:
            break
        pairs = PairTable.read_part(io, part, PairTable.key, PairTable.sha256, PairTable.caption)
        same_bytes = pc.is_in(pairs.sha256, pa.array([sha for sha, _ in missing], pa.string()))
        columns = (pairs.sha256, pairs.caption, pairs.key)
        for sha256, caption, key in zip(*(column.filter(same_bytes).to_pylist() for column in columns), strict=True):
            if (image := missing.pop((sha256, caption), None)) is not None:
                matched[image] = key
    return matched
