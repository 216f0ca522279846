"""a run -> report: what is in the labels. Parts are summarised once; the merge writes the figures and the page."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from model.cards import notes
from model.teacher import Description
from schemas.records import OTHER_LABELS
from stages.audit.summary import counters_bytes, summarise, terms_bytes
from stages.ingest.categories import SUMMARIES
from stages.review.journal import FOLDER as REVIEWS
from stages.stage import Counts, Input, MapStage, Output, PartIO, PartResult, ReduceStage, RunIO, Stage, UserError

if TYPE_CHECKING:
    from schemas.config import Config

__all__ = ["AuditStage"]


class AuditStage(ReduceStage):
    """`run_part` writes summaries/audit/part-N.*, and `merge` report/stats.json, index.html and more."""

    name: ClassVar[str] = "audit"
    version: ClassVar[int] = 8
    carries_rows: ClassVar[bool] = False
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("pairs"),
        Input("gold", need="if_present"),
        Input(SUMMARIES, need="if_present"),  # of ingest: the categories that were looked for
        Input("phrases", need="if_present"),
        Input("labels", need="if_present"),
        Input("pseudo", need="if_present"),
    )
    outputs: ClassVar[tuple[Output, ...]] = (Output("summaries/audit"),)
    merged: ClassVar[tuple[Output, ...]] = (Output("report", scope="run"),)
    depends_on: ClassVar[tuple[str, ...]] = ("filter.min_score",)  # above which teachers are compared phrase by phrase
    merge_depends_on: ClassVar[tuple[str, ...]] = (
        "corpus",
        "label.teacher",
        "label.score_floor",
        *("filter.min_score", "filter.combine", "filter.min_region_score", "filter.min_image_score"),
        *(f"curate.{name}" for name in ("duplicates", "min_likeness", "min_cosine", "flips", "min_similarity")),
        "audit",
    )

    def __init__(self, config: Config) -> None:
        self.config = config

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        """Raises UserError for a file of categories that is not there: later would be after days of labelling."""
        categories = config.audit.categories
        if categories is not None and "://" not in categories and not Path(categories).is_file():
            raise UserError(f"audit.categories: {categories}: no such file")
        return {}

    @classmethod
    def all_inputs(cls, earlier: Sequence[type[Stage]]) -> tuple[Input, ...]:
        """With every side table, the labels of further teachers, and the rejects of every stage."""
        outputs = [output for stage in earlier for output in stage.all_outputs()]
        tables = [out.folder for out in outputs if out.aligned_with or out.folder.startswith(OTHER_LABELS)]
        rejects = [f"rejects/{stage.name}" for stage in earlier if issubclass(stage, MapStage) and stage.carries_rows]
        return (*cls.inputs, *(Input(name, need="if_present") for name in (*tables, *rejects)))

    @classmethod
    def merge_digests(cls, config: Config) -> dict[str, Any]:
        return {
            "categories": _sha256(config.audit.categories),
            "labelled_by": str(Description.of(config.label)),
            "about": notes(config.label),
        }

    @classmethod
    def written_by_people(cls, config: Config) -> tuple[str, ...]:
        return (REVIEWS,)

    def run_part(self, io: PartIO) -> PartResult:
        counters, tables = summarise(io, self.config.filter.min_score)
        with io.create(f"summaries/audit/part-{io.part:07d}.json") as file:
            file.write(counters_bytes(counters))
        for name, table in tables.items():
            with io.create(f"summaries/audit/part-{io.part:07d}.{name}.parquet") as file:
                file.write(terms_bytes(table))
        pairs = counters["pairs"]
        io.progress(pairs)
        return PartResult(Counts(in_=pairs, out=pairs))

    def merge(self, io: RunIO) -> dict[str, Any]:
        """Write report/stats.json and report/index.html; returns the headline figures for the summary line."""
        from stages.audit.report import write_report

        return write_report(io, self.config)


def _sha256(categories: str | None) -> str | None:
    """Of the file where it lies on this machine; a URI stands for itself."""
    if categories is None or not Path(categories).is_file():
        return categories
    with open(categories, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
