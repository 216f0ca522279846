"""`phrasebox export`: a run's boxes in the formats that other tools read; docs/exports.md has the fields.

An export holds every pair with at least one box: what the filter kept, or with `min_score` every labelled box above it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stages.export.exporter import Create, Exporter, Options, Pictures
from stages.stage import RunIO, UserError

if TYPE_CHECKING:
    from schemas.config import Config

FORMATS = {
    "coco": "stages.export.coco:CocoExport",  # COCO instances JSON; each phrase's norm is a category
    "coco-text": "stages.export.coco:CocoTextExport",  # the same, one category, the phrase as text on each annotation
    "odvg": "stages.export.odvg:OdvgExport",  # ODVG JSONL, one region per box, with scores
    "grit": "stages.export.grit:GritExport",  # GRIT Parquet: normalised boxes with their spans
    "mdetr": "stages.export.mdetr:MdetrExport",  # MDETR-style JSON with tokens_positive
    "glip-tsv": "stages.export.glip_tsv:GlipTsvExport",  # TSV files of GLIP's own caption reader, images inside
    "label-studio": "stages.export.label_studio:LabelStudioExport",  # tasks with pre-annotations, and their config
    "fiftyone": "stages.export.fiftyone:FiftyOneExport",  # FiftyOne image detection dataset
    "qwen2.5-vl": "stages.export.qwen:Qwen25Export",  # conversations; boxes in pixels of the resized image
    "qwen3-vl": "stages.export.qwen:Qwen3Export",  # conversations; boxes from 0 to 1000
    "paligemma": "stages.export.paligemma:PaliGemmaExport",  # conversations; <loc> tokens, y first
    "florence-2": "stages.export.florence:FlorenceExport",  # conversations; <loc_> tokens
    "kosmos-2": "stages.export.kosmos:KosmosExport",  # conversations; tokens of 32 x 32 patches
    "shikra": "stages.export.shikra:ShikraExport",  # conversations; shares with three decimals
    "ferret": "stages.export.ferret:FerretExport",  # conversations; thousandths
    "gligen": "stages.export.gligen:GligenExport",  # GLIGEN's TSV, with CLIP embeddings where weights are given
    "yolo": "stages.export.yolo:YoloExport",  # ultralytics' labels; heads of phrases are the categories
    "hf": "stages.export.hf:HuggingFaceExport",  # Parquet with images, for `datasets`
    "card": "stages.export.card:CardExport",  # README.md of the shards: a dataset card
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
    **options: Any,
) -> dict[str, int]:
    """Write a run in one format. `create(name)` opens a new file of the target folder; no name is the data's.

    `images`: also copy the images to images/KEY.EXT, where the written records look for them. `pictures`: upright, so
    that boxes fit the pixels for readers that do not know of orientation (images that are turned are encoded again,
    others keep their bytes); or stored, all byte for byte. `options`: fields of `Options` that the format takes.
    Returns {"images", "boxes", "files"}, and what is left out by the reason. Raises UserError for an unknown format,
    for an option that the format does not take, and for a run without labels.
    """
    if format not in FORMATS:
        raise UserError(f"export: no format {format!r}; there are {', '.join(FORMATS)}")
    module, _, name = FORMATS[format].partition(":")
    exporter: type[Exporter] = getattr(importlib.import_module(module), name)
    for option in options.keys() - exporter.takes:
        raise UserError(f"export: --{option.replace('_', '-')} means nothing to the format {format}; leave it out")
    return exporter(io, create, config, min_score, images, pictures, Options(**options)).run()
