"""`phrasebox export`: a run's boxes in the formats that other tools read; docs/exports.md has the fields.

An export holds every pair with at least one box: what the filter kept, or with `min_score` every labelled box above it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from stages.export.exporter import Create, Exporter, Pictures
from stages.stage import RunIO, UserError

if TYPE_CHECKING:
    from schemas.config import Config

FORMATS: dict[str, str] = {
    "coco": "COCO instances JSON; each phrase's norm is a category",
    "coco-text": "COCO instances JSON; one category, the phrase as text on each annotation",
    "odvg": "ODVG JSONL for MM-Grounding-DINO and Open-GroundingDino, one region per box, with scores",
    "grit": "GRIT Parquet: normalised boxes with their spans",
    "mdetr": "MDETR-style JSON with tokens_positive",
    "glip-tsv": "TSV files of GLIP's own caption reader, images inside",
    "label-studio": "Label Studio tasks with pre-annotations, and the labelling config",
    "fiftyone": "FiftyOne image detection dataset",
    "card": "README.md of the shards: a dataset card",
}

_EXPORTERS = {
    "coco": "stages.export.coco:CocoExport",
    "coco-text": "stages.export.coco:CocoTextExport",
    "odvg": "stages.export.odvg:OdvgExport",
    "grit": "stages.export.grit:GritExport",
    "mdetr": "stages.export.mdetr:MdetrExport",
    "glip-tsv": "stages.export.glip_tsv:GlipTsvExport",
    "label-studio": "stages.export.label_studio:LabelStudioExport",
    "fiftyone": "stages.export.fiftyone:FiftyOneExport",
}


def export(
    io: RunIO,
    format: str,
    create: Create,
    *,
    config: Config,
    min_score: float | None = None,
    images: bool = True,
    pictures: Pictures = "upright",
) -> dict[str, int]:
    """Write a run in one format. `create(name)` opens a new file of the target folder; no name is the data's.

    `images`: also copy the images to images/KEY.EXT, where the written records look for them. `pictures`: upright, so
    that boxes fit the pixels for readers that do not know of orientation (images that are turned are encoded again,
    others keep their bytes); or stored, all byte for byte. Returns {"images", "boxes", "files"}, and what is left out
    by the reason. Raises UserError for an unknown format or a run without labels.
    """
    if format not in FORMATS:
        raise UserError(f"export: no format {format!r}; there are {', '.join(FORMATS)}")
    if format == "card":
        from stages.export.card import write_card

        return write_card(io, create, config)
    dataset = "pseudo" if min_score is None else "labels"
    if not any(io.has_part(dataset, part) for part in io.parts()):
        stage = "filter" if min_score is None else "label"
        raise UserError(f"export: the run has no {dataset} yet; run `phrasebox {stage}` first")
    module, _, name = _EXPORTERS[format].partition(":")
    exporter: type[Exporter] = getattr(importlib.import_module(module), name)
    return exporter(io, create, config, min_score, images, pictures).run()
