"""The images of the report's part on duplicates: of pairs that were set aside or kept, and of benchmarks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.records import part_of
from schemas.rows import ImageRef
from schemas.tables import PairTable
from stages.audit.samples import MOST_CHARS, thumbnail, with_thumbnails
from stages.curate.benchmarks import Image, images_of, name_of
from stages.sample_images import SampleImage, rows_of
from stages.stage import RowError, RunIO, UserError

if TYPE_CHECKING:
    from schemas.config import Config

SIDE = 192  # pixels of the longest side


@dataclass(frozen=True)
class Thumbnail:
    """An image of the page. `missing` says why it cannot be shown."""

    name: str  # the key of a pair, or BENCHMARK:ID
    webp: str | None  # base64
    missing: str | None
    source_id: str = ""
    caption: str = ""


def load(io: RunIO, figures: dict[str, Any], config: Config) -> dict[str, Thumbnail]:
    """All that the figures (`curation` of stats.json) name, by name."""
    names = mentions(figures)
    leaks = [leak["image"] for leak in figures["leaks"]["most"]] if figures["leaks"] else []
    keys = sorted(set(names) - set(leaks))
    return {own.name: own for own in (*of_pairs(io, keys, config), *of_benchmarks(io, leaks, config))}


def mentions(figures: dict[str, Any]) -> list[str]:
    """Every name, as often as the page shows its image."""
    found: list[str] = []
    for row in figures["threshold"]["least_alike"] if figures["threshold"] else []:
        found += [row["kept"], row["pair"]]
    for group in figures["largest_groups"]:
        found += [group["kept"], *(copy["pair"] for copy in group["copies"])]
    for leak in figures["leaks"]["most"] if figures["leaks"] else []:
        found += [leak["image"], *leak["copies"]]
    for cluster in figures["clusters"]["largest"] if figures["clusters"] else []:
        found += cluster["typical"]
    return found


def of_pairs(io: RunIO, keys: Sequence[str], config: Config) -> Iterator[Thumbnail]:
    """`keys` in ascending order."""
    samples = []
    for part in dict.fromkeys(map(part_of, keys)):
        own = [key for key in keys if part_of(key) == part]
        samples += [SampleImage(pair) for pair in rows_of(io, PairTable, part, own).values()]
    for sample in with_thumbnails(io, samples, config.ingest.max_pixels, SIDE):
        caption = sample.pair.caption
        caption = caption[:MOST_CHARS] + "…" if len(caption) > MOST_CHARS else caption
        yield Thumbnail(sample.key, sample.thumbnail, sample.missing, sample.pair.source_id[:MOST_CHARS], caption)


def of_benchmarks(io: RunIO, names: Sequence[str], config: Config) -> Iterator[Thumbnail]:
    """A benchmark that is gone, or has become another one, leaves its images out, and the page says why."""
    found = find_images(io, set(names), config)
    refs = [image for image in found.values() if isinstance(image, ImageRef)]
    read = dict(zip(refs, io.image_bytes(refs), strict=True))
    for name in names:
        image = found.get(name, RowError("missing_image", "the benchmark has it no more"))
        try:
            data = read[image] if isinstance(image, ImageRef) else image
            yield Thumbnail(name, thumbnail(data, SIDE, config.ingest.max_pixels), None)
        except RowError as error:
            yield Thumbnail(name, None, str(error)[:MOST_CHARS])


def find_images(io: RunIO, wanted: set[str], config: Config) -> dict[str, Image]:
    """Of each BENCHMARK:ID the first image of this id; a RowError where the benchmark cannot be read."""
    found: dict[str, Image] = {}
    for benchmark in config.curate.against:
        name = name_of(benchmark)
        own = {full for full in wanted - found.keys() if full.startswith(f"{name}:")}
        try:
            for number, image in images_of(io, benchmark, config.ingest) if own else ():
                if (full := f"{name}:{number}") in own:
                    found.setdefault(full, image)
                if own <= found.keys():
                    break
        except (UserError, OSError) as error:
            found |= {full: RowError("missing_image", str(error)) for full in own - found.keys()}
    return found
