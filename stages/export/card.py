"""The dataset card: README.md of the shards, with counts, teacher, thresholds, sources and licences."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from model.cards import notes
from schemas.tables import PairTable
from stages.export.exporter import Exporter
from stages.stage import RunIO, UserError

if TYPE_CHECKING:
    from schemas.config import Config, LabelConfig

SIZES = {
    10**3: "n<1K",
    10**4: "1K<n<10K",
    10**5: "10K<n<100K",
    10**6: "100K<n<1M",
    10**7: "1M<n<10M",
    10**8: "10M<n<100M",
}
MOST_LICENSES = 20


class CardExport(Exporter):
    """README.md alone: no image is read."""

    def run(self) -> dict[str, int]:
        """Raises UserError for a run that was not audited: the counts are those of report/stats.json."""
        try:
            with self.io.open("report/stats.json") as file:
                stats = json.load(file)
        except FileNotFoundError:
            raise UserError("export: the card needs the run's figures; run `phrasebox audit` first") from None
        with self.create("README.md") as file:
            file.write(card(stats, self.config, licenses(self.io)).encode())
        return {"images": stats["pairs_with_boxes"], "boxes": stats["boxes"], "files": 1}


def licenses(io: RunIO) -> Counter[str]:
    """Licence field of the pairs, as the source gives it -> pairs."""
    found: Counter[str] = Counter()
    for part in io.parts():
        if io.has_part(PairTable.dataset, part):
            licenses = PairTable.read_part(io, part, PairTable.license).license
            found.update(name or "" for name in licenses.to_pylist())
    return found


def card(stats: dict[str, Any], config: Config, found: Counter[str]) -> str:
    name = config.corpus
    pairs = stats["pairs_with_boxes"]
    rejected = sum(count for by_reason in stats["rejected"].values() for count in by_reason.values())
    unique = stats["unique_phrases"]
    exact = "" if stats["exactness"]["unique_phrases"]["exact"] else " (estimated)"
    return f"""{front_matter(config, pairs, found, "webdataset")}
{title(config)}
| | |
|---|---:|
| pairs read | {stats["pairs"] + sum(stats["rejected"].get("ingest", {}).values()):,} |
| rejected, all stages | {rejected:,} |
| pairs with boxes, these shards | {pairs:,} |
| boxes | {stats["boxes"]:,} |
| unique phrases | {unique:,}{exact} |
| boxes per image | {_ratio(stats["boxes_per_image"])} |

{how_it_was_made(config)}{_agreement(stats)}
## Records

WebDataset tars. A sample `{name}-KEY` is {_image(config)} and a JSON: key, caption, width, height,
orientation, phrases (character spans `[start, end)` of the caption), boxes (phrase, bbox `[x1, y1, x2, y2]` in absolute
pixels of the upright image, score), teacher, source_id and license. A phrase counts once by its normalised form.

{licence_table(found)}"""


def front_matter(config: Config, pairs: int, found: Counter[str], kind: str, **more: str) -> str:
    """The YAML that dataset hubs read; `kind` of files, and `more` entries, whose values are YAML."""
    size = next((text for limit, text in SIZES.items() if pairs < limit), "n>100M")
    return f"""---
pretty_name: {json.dumps(config.corpus)}
language: [en]
license: other
license_name: {json.dumps(_license_name(found))}
annotations_creators: [machine-generated]
language_creators: [{"machine-generated" if config.ingest.format == "scenes" else "found"}]
task_categories: [object-detection, zero-shot-object-detection]
size_categories: [{size}]
tags: [grounding, phrase-grounding, pseudo-labels, {kind}]
{"".join(f"{name}: {value}{chr(10)}" for name, value in more.items())}---
"""


def title(config: Config) -> str:
    return f"""# {_text(config.corpus)}

Image–caption pairs whose noun phrases have boxes that a model drew. Nobody checked them one by one: they are pseudo
labels for pre-training, not ground truth.
"""


def how_it_was_made(config: Config) -> str:
    limit = config.filter.phrase_nms_iou
    across = f", across phrases at {limit:g}" if limit < 1.0 else ""
    return f"""## How it was made

| | |
|---|---|
| source | {_code(config.ingest.source)} ({_code(config.ingest.format)}) |
| phrases | {_code(config.phrases.backend)} |
| teacher | {_code(config.label.teacher)} |
| teacher's weights | {_code(config.label.weights or "those of the package")} |{_notes(config.label)}
| labels kept from score | {config.label.score_floor:g} |
| filter | score > {config.filter.min_score:g}, NMS per phrase at IoU {config.filter.nms_iou:g}{across} |
"""


def licence_table(found: Counter[str]) -> str:
    return f"""## Licences

Images and captions keep the licences of their sources; each sample says which in `license`, and in `source_id` which
row of the source it is.

| licence as the source gives it | pairs |
|---|---:|
{_license_rows(found)}
"""


def _image(config: Config) -> str:
    if config.shard.upright:
        return "the image (encoded again where its EXIF orientation turned it, else its original bytes)"
    return "the image with its original bytes"


def _notes(label: LabelConfig) -> str:
    """A row for each teacher whose card has something to tell of its weights and labels."""
    others = {teacher: f" {_code(teacher)}" if teacher != label.teacher else "" for teacher in notes(label)}
    return "".join(f"\n| about the teacher{others[name]} | {_text(about)} |" for name, about in notes(label).items())


def _agreement(stats: dict[str, Any]) -> str:
    row = (stats["gold"] or {}).get("at_min_score")
    if not row or row["precision"] is None:
        return ""
    return (
        f"| agreement with true boxes above {row['threshold']:g} | precision {row['precision']:.3f}, recall "
        f"{row['recall']:.3f}, on {stats['gold']['pairs']:,} pairs |\n"
    )


def _license_name(found: Counter[str]) -> str:
    """For the front matter: the one licence that all pairs have, where there is one."""
    if len(found) > 1:
        return "several, see below"
    return next(iter(found), "") or "not stated"


def _license_rows(found: Counter[str]) -> str:
    common = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    rows = [f"| {_code(name) if name else 'not stated'} | {count:,} |" for name, count in common[:MOST_LICENSES]]
    rest = common[MOST_LICENSES:]
    if rest:
        rows.append(f"| {len(rest):,} others | {sum(count for _, count in rest):,} |")
    return "\n".join(rows)


def _ratio(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


def _text(text: str) -> str:
    """For paragraphs and tables: one line, nothing that Markdown or HTML could read."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+!|~" else c for c in plain)


def _code(text: str) -> str:
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f"`{plain.replace('`', chr(39)).replace('|', '/')}`" if plain else "not stated"
