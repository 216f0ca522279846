"""Writes report/stats.json and report/index.html from the summaries and, for the pictures, some parts."""

from __future__ import annotations

import json
from typing import Any

from stages.auditing import pictures
from stages.auditing.alarms import warnings
from stages.auditing.figures import figures
from stages.auditing.merge import merge_summaries
from stages.stage import RunIO

HEADLINE = ("pairs", "pairs_with_phrases", "pairs_with_boxes", "boxes", "unique_phrases", "boxes_per_image")


def write_report(io: RunIO, config: Any) -> dict[str, Any]:
    """Merge, write the two files, and return the headline figures."""
    from stages.auditing.page import render

    audit = config.audit
    merged = merge_summaries(io, audit.exact_phrases)
    stats = figures(merged, config.label.score_floor, config.filter.min_score)
    stats["corpus"] = config.corpus
    stats["teacher"] = config.label.teacher
    stats["warnings"] = warnings(stats)
    chosen = pictures.choose(merged, io, audit.pictures, audit.seed)
    shown = pictures.load(io, chosen, config.ingest.max_pixels)
    with io.create("report/stats.json") as file:
        file.write((json.dumps(stats, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode())
    with io.create("report/index.html") as file:
        file.write(render(stats, shown).encode())
    return {name: stats[name] for name in HEADLINE} | {"warnings": len(stats["warnings"])}
