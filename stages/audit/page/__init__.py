"""The report's page: one HTML file that opens offline. Nothing in it is fetched; captions can only ever be text.

The style sheet and the script are inlined, a content security policy allows the one script by its hash and no network,
jinja2 escapes every value, and the data block is JSON without `<`, `>` or `&`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.audit.checks import checks
from stages.audit.duplicate_images import Thumbnail, mentions
from stages.audit.page import charts, duplicates, series
from stages.audit.page import text as page_text
from stages.audit.page.overlay import small_counts, small_size
from stages.audit.samples import GALLERIES, MOST_BOXES, MOST_CHARS
from stages.sample_images import SampleImage, ShownBox, rounded

HERE = Path(__file__).parent
BUDGET = 24_000_000  # bytes of the page that images may take


def embed(data: Any) -> str:
    """JSON that can stand inside a <script> element: no character in it can end the element or open a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def render(stats: dict[str, Any], images: list[SampleImage], thumbnails: Mapping[str, Thumbnail]) -> str:
    """The whole page. `thumbnails`: of the part on duplicates, by name; it has style and script of its own."""
    named = mentions(stats["curation"]) if "curation" in stats else []
    spent = sum(len(thumbnails[name].webp or "") for name in named)
    shown = within_budget([image_json(image) for image in images], spent)
    left_out = len(images) - len(shown)
    values = {
        "stats": stats,
        "checks": checks(stats),
        "data": page_data(stats, shown),
        "shown": len(shown),
        "left_out": left_out,
        "thumbnails": thumbnails,
    }
    parts = ["duplicates"] if "curation" in stats else []
    return render_template("template.html", "page.js", parts, **values)


def within_budget(images: list[dict[str, Any]], spent: int = 0) -> list[dict[str, Any]]:
    """The first images whose records, thumbnails included, take at most BUDGET bytes of the page together, of which so
    many are spent."""
    for i, image in enumerate(images):
        spent += len(embed(image).encode())
        if spent > BUDGET:
            return images[:i]
    return images


def render_template(name: str, script: str, parts: Sequence[str] = (), **values: Any) -> str:
    """A template with the style sheet, one script and the chart functions at hand; `parts` add styles and scripts."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.globals |= {"charts": charts, "text": page_text, "series": series, "duplicates": duplicates}
    environment.filters |= {"number": page_text.number, "compact": page_text.compact, "percent": page_text.percent}
    scripts = ("boxes.js", script, *(f"{part}.js" for part in parts))
    source = "".join((HERE / file).read_text("utf-8") for file in scripts)
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    values["data"] = Markup(embed(values["data"]))
    return environment.get_template(name).render(
        style=Markup("".join((HERE / f"{part}.css").read_text("utf-8") for part in ("style", *parts))),
        script=Markup(source),
        script_hash=digest,
        **values,
    )


def page_data(stats: dict[str, Any], images: list[dict[str, Any]]) -> dict[str, Any]:
    """What the script needs: thresholds, agreement and the images."""
    gold = stats["gold"] or {}
    return {
        "minScore": stats["min_score"],
        "thresholds": [[r["threshold"], r["pairs"], r["boxes"], r["unique_phrases"]] for r in stats["by_threshold"]],
        "gold": [[r["threshold"], r["precision"], r["recall"]] for r in gold.get("by_threshold", [])],
        "galleries": GALLERIES,
        "exact": stats["exactness"]["unique_phrases"]["exact"],
        "images": images,
    }


def embed_images(pairs: list[tuple[SampleImage, SampleImage]]) -> list[dict[str, Any]]:
    """What the comparison's script needs of images before and after."""
    return [{"before": image_json(before), "after": image_json(after)} for before, after in pairs]


def image_json(image: SampleImage) -> dict[str, Any]:
    """What the scripts need of an image: the best MOST_BOXES boxes, a very long caption cut; what is empty is left out.

    A phrase is [start, end, norm], and why the label stage left it out where it did; a box is [phrase, x1, y1, x2, y2,
    score, why the filter took it out, its mask ("": none), the cosine of its crop], the last two only where there is
    one, and a true box [x1, y1, x2, y2, category].
    """
    pair, rest = image.pair, image.boxes[MOST_BOXES:]
    cut = len(pair.caption) > MOST_CHARS
    listed = {
        "key": pair.key,
        "width": pair.width,
        "height": pair.height,
        "caption": pair.caption[:MOST_CHARS] + "…" if cut else pair.caption,
        "phrases": [
            [phrase.start, phrase.end, phrase.norm or "", *([image.ungrounded[i]] if i in image.ungrounded else [])]
            for i, phrase in enumerate(image.phrases)
        ],
        "left": [[span.start, span.end, span.reason] for span in image.dropped],
        "boxes": [box_json(box) for box in image.boxes[:MOST_BOXES]],
        "maskSize": next((small_size(box.mask.height, box.mask.width) for box in image.boxes if box.mask), []),
        "gold": [[*rounded(box.corners), box.category or ""] for box in image.gold[:MOST_BOXES]],
    }
    more = {
        "galleries": image.galleries,
        "thumbnail": image.thumbnail,
        "missing": image.missing,
        "fit": None if image.fit is None else round(image.fit, 3),
        "undrawn": {"all": len(rest), "kept": sum(not box.reason for box in rest)} if rest else None,
    }
    listed = {name: value for name, value in listed.items() if value not in ([], "", 0)}
    return listed | {name: value for name, value in more.items() if value is not None}


def box_json(box: ShownBox) -> list[Any]:
    listed: list[Any] = [box.phrase, *box.corners, box.score, box.reason]
    if box.mask or box.crop is not None:
        listed.append(small_counts(box.mask) if box.mask else "")
    return listed if box.crop is None else [*listed, round(box.crop, 3)]
