"""a run -> report: what is in the labels. Parts are summarised once; the merge writes the figures and the page."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar, Literal

from stages.audit.summary import STAGES_WITH_REJECTS, counters_bytes, summarise, terms_bytes
from stages.stage import Counts, Input, PartIO, PartResult, RunIO, UserError

__all__ = ["AuditStage"]


class AuditStage:
    """Reduce stage: `run_part` writes summaries/audit/part-N.*, and `merge` report/stats.json, index.html and more."""

    name: ClassVar[str] = "audit"
    version: ClassVar[int] = 4
    kind: ClassVar[Literal["map", "reduce", "job"]] = "reduce"
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("pairs"),
        Input("gold", optional=True),
        Input("phrases", optional=True),
        Input("labels", optional=True),
        Input("pseudo", optional=True),
        *(Input(f"rejects/{stage}", optional=True) for stage in STAGES_WITH_REJECTS),
    )
    outputs: ClassVar[tuple[str, ...]] = ("summaries/audit", "report")

    def __init__(self, config: Any) -> None:
        self.config = config

    @classmethod
    def resolve(cls, config: Any) -> dict[str, Any]:
        """Raises UserError for a file of categories that is not there: later would be after days of labelling."""
        categories = config.audit.categories
        if categories is not None and "://" not in categories and not Path(categories).is_file():
            raise UserError(f"audit.categories: {categories}: no such file")
        return {}

    @classmethod
    def settings(cls, config: Any) -> dict[str, Any]:
        """Nothing: a part's summary depends on its tables alone. What the merge shows is set by `merge_settings`."""
        return {}

    @classmethod
    def merge_settings(cls, config: Any) -> dict[str, Any]:
        """What the report depends on beside the summaries."""
        audit = config.audit
        return {
            "corpus": config.corpus,
            "teacher": config.label.teacher,
            "pictures": audit.pictures,
            "seed": audit.seed,
            "exact_phrases": audit.exact_phrases,
            "categories": _sha256(audit.categories),
            "score_floor": config.label.score_floor,
            "min_score": config.filter.min_score,
        }

    def run_part(self, io: PartIO) -> PartResult:
        counters, tables = summarise(io)
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
