"""Writes report/stats.json and report/index.html from the summaries and, for the images, some parts."""

from __future__ import annotations

import io as bytesio
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model.cards import notes
from model.teacher import Description
from stages.audit import duplicate_images, samples
from stages.audit.checks import warnings
from stages.audit.clusters import cluster_figures
from stages.audit.duplicates import duplicate_figures
from stages.audit.figures import figures
from stages.audit.merge import Merged, merge_summaries
from stages.audit.terms import SUMS, Totals
from stages.review.figures import review_figures
from stages.stage import RunIO

if TYPE_CHECKING:
    from schemas.config import Config, LabelConfig

SCORE_RULES = ("combine", "min_region_score", "min_image_score")  # of the filter, as the charts mark them
HEADLINE = ("pairs", "pairs_with_phrases", "pairs_with_boxes", "boxes", "unique_phrases", "boxes_per_image")


def write_report(io: RunIO, config: Config) -> dict[str, Any]:
    """Merge, write the two files, and return the headline figures."""
    from stages.audit.page import render

    audit = config.audit
    merged = merge_summaries(io, audit.exact_phrases, audit.categories)
    stats = figures(merged, config.label.score_floor, config.filter.min_score)
    stats["corpus"] = config.corpus
    stats["teacher"] = config.label.teacher
    stats["labelled_by"] = Description.of(config.label).to_json()
    stats["teacher_note"] = told_of(config.label)
    if "scores" in stats:
        stats["scores"]["rules"] = {name: getattr(config.filter, name) for name in SCORE_RULES}
    if merged.has("labels"):
        stats["judged"] = review_figures(io, config)
    if "curation" in merged.counters:
        stats["curation"] = curation_figures(io, merged, config)
    stats["warnings"] = warnings(stats)
    chosen = samples.choose(merged, io, audit.pictures, audit.seed)
    shown = samples.load(io, chosen, config.ingest.max_pixels)
    thumbnails = duplicate_images.load(io, stats["curation"], config) if "curation" in stats else {}
    with io.create("report/phrases.parquet") as file:
        file.write(phrases_file(merged.terms["phrases"]))
    with io.create("report/stats.json") as file:
        file.write((json.dumps(stats, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode())
    with io.create("report/index.html") as file:
        file.write(render(stats, shown, thumbnails).encode())
    return {name: stats[name] for name in HEADLINE} | {"warnings": len(stats["warnings"])}


def curation_figures(io: RunIO, merged: Merged, config: Config) -> dict[str, Any]:
    """What curate has decided about the pairs of the run."""
    counted = merged.counters["curation"]
    clusters = cluster_figures(io, counted["clusters"]) if "clusters" in counted else None
    return {**duplicate_figures(io, counted, config), "clusters": clusters}


def told_of(label: LabelConfig) -> str | None:
    """What the card of the (first) teacher says in a line, and those of further ones."""
    found = notes(label)
    own = found.pop(label.teacher, None)
    lines = [own] if own else []
    return " ".join([*lines, *(f"Beside it, {name}: {text}" for name, text in found.items())]) or None


def phrases_file(phrases: Totals) -> bytes:
    """report/phrases.parquet: every phrase that was counted, the most kept boxes first, then by hash.

    `best` is the last threshold of the grid that its best labelled box is above (null: it has no box); `sampled` says
    whether the phrase belongs to the even sample (all do where the counts are exact), `hash` is what it was drawn by.
    """
    c = phrases.columns
    order = np.lexsort((c["hash"], -c["boxes"]))
    best = c["best"][order].astype(np.float64)
    columns = {
        "phrase": phrases.text.take(order) if phrases.text is not None else [],
        **{name: c[name][order] for name in SUMS},
        "best": pa.array((best - 1) / 100, pa.float32(), mask=best == 0),
        "sampled": phrases.sampled[order],
        "hash": c["hash"][order],
    }
    buffer = bytesio.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()
