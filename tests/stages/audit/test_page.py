"""The page as a reader meets it: opened from the disk in a real headless Chromium, driven over its debugging pipe."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pycocotools import mask as coco_masks

from stages.audit import page, samples
from stages.audit.checks import checks
from stages.audit.page import embed
from stages.audit.page import text as page_text
from stages.sample_images import SampleImage
from tests.stages.audit.browser import Browser


@pytest.fixture(scope="module")
def run(make_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    run = make_run(tmp_path_factory.mktemp("run"), part_size=60).fill(150)
    run.audit()
    return run


def report(run: Any) -> Path:
    path: Path = run.root / "report" / "index.html"
    return path


def embedded_keys(run: Any) -> set[str]:
    """Of all images that the page holds, shown or not."""
    data = report(run).read_text("utf-8").split('type="application/json">')[1].split("</script>")[0]
    return {image["key"] for image in json.loads(data)["images"]}


def test_it_opens_without_a_complaint_and_asks_nobody_for_anything(browser: Browser, run: Any) -> None:
    browser.open(report(run))
    assert browser.run("document.querySelectorAll('svg.chart').length") >= 10
    assert browser.run("document.querySelectorAll('article.card').length") > 0
    browser.run("window.scrollTo(0, document.body.scrollHeight)")
    browser.run("new Promise(shown => requestAnimationFrame(() => requestAnimationFrame(shown)))")
    assert browser.complaints == []
    assert browser.requests == [report(run).as_uri()]


def test_the_slider_gives_the_numbers_of_the_parts(browser: Browser, run: Any) -> None:
    browser.open(report(run))
    norms = {row["key"]: [phrase["norm"] for phrase in row["phrases"]] for row in run.rows["phrases"]}
    labels = [row for part in run.all_parts().parts() for row in run.all_parts().read_part("labels", part).to_pylist()]
    for threshold in (0.1, 0.25, 0.5, 0.77, 1.0):
        browser.set("threshold", str(threshold))
        above = [(row["key"], box) for row in labels for box in row["boxes"] if box["score"] > threshold]
        shown = {name: browser.text(f"t-{name}") for name in ("pairs", "boxes", "unique")}
        expected = {
            "pairs": len({key for key, _ in above}),
            "boxes": len(above),
            "unique": len({norms[key][box["phrase"]] for key, box in above}),
        }
        for name, count in expected.items():  # the number, then its share of what the floor keeps
            assert shown[name].startswith(f"{count:,}"), (threshold, shown, expected)
        assert browser.text("at") == f"{threshold:.2f}"
        cursor = browser.run("document.querySelector('.cursor').getAttribute('x1')")
        assert float(cursor) == pytest.approx(44 + (360 - 44 - 8) * (threshold - 0.1) / 0.9, abs=0.2)


def test_the_gallery_filters(browser: Browser, run: Any) -> None:
    browser.open(report(run))
    total = int(browser.text("f-count").split(" of ")[1].split()[0])
    assert browser.text("f-count").startswith(f"{min(60, total)} of ")
    browser.set("f-gallery", "most_boxes")
    kept = {row["key"]: len(row["boxes"]) for row in run.rows["pseudo"]}
    keys = browser.run("[...document.querySelectorAll('.card .meta')].map(e => e.textContent.slice(0, 12))")
    assert keys == sorted(kept, key=lambda key: (-kept[key], key))[:12]
    browser.set("f-gallery", "")
    browser.set("f-phrase", "red ball")
    captions = browser.run("[...document.querySelectorAll('.card .caption')].map(e => e.textContent)")
    assert captions and all("red ball" in caption for caption in captions)
    matching = {row["key"] for row in run.rows["phrases"] if any("red ball" in p["norm"] for p in row["phrases"])}
    keys = browser.run("[...document.querySelectorAll('.card .meta')].map(e => e.textContent.slice(0, 12))")
    assert set(keys) <= matching
    browser.set("f-phrase", "")
    browser.set("f-score", "0.9")
    scores = browser.run(
        "[...document.querySelectorAll('.card rect.box title')].map(e => +e.textContent.trim().split(/ +/).at(-1))"
    )
    assert scores and min(scores) > 0.9
    browser.set("f-score", "0")
    browser.set("f-reason", "low_score")
    titles = browser.run("[...document.querySelectorAll('.card rect.box title')].map(e => e.textContent)")
    assert titles and all(title.endswith("low_score") for title in titles)
    keys = "[...document.querySelectorAll('.card .meta')].map(e => e.textContent.slice(0, 12))"
    for reason, dataset in (("over_token_limit", "labels"), ("not_english", "phrases")):
        browser.set("f-reason", f"phrase {reason}")
        left_out = {row["key"] for row in run.rows[dataset] if any(d["reason"] == reason for d in row["dropped"])}
        assert browser.run(keys) and set(browser.run(keys)) <= left_out
        assert browser.text("f-count").startswith(f"{len(left_out & embedded_keys(run))} of ")
    browser.set("f-reason", "phrase over_token_limit")
    struck = browser.run("[...document.querySelectorAll('.card')].map(c => c.querySelector('s').title)")
    assert set(struck) == {"left out: over_token_limit"}
    browser.set("f-phrase", "no such phrase")
    assert browser.text("f-count").startswith("0 of ")
    assert browser.complaints == []


def test_masks_are_drawn_over_their_images(browser: Browser, make_run: Callable[..., Any], tmp_path: Path) -> None:
    """The strips of each path have as many pixels as the mask that the page embeds, and lie within its image."""
    run = make_run(tmp_path / "run", part_size=30).fill(30).mask()
    run.audit()
    browser.open(report(run))
    browser.set("f-gallery", "")
    browser.run("while (!document.getElementById('f-more').hidden) document.getElementById('f-more').click()")
    drawn = browser.run(
        "[...document.querySelectorAll('.card')].flatMap(c => [...c.querySelectorAll('path.mask')].map(p => ["
        "c.querySelector('.meta').textContent.slice(0, 12),"
        "[...p.getAttribute('d').matchAll(/v(\\d+)h/g)].reduce((sum, m) => sum + Number(m[1]), 0),"
        "p.getBBox().width * p.transform.baseVal[0].matrix.a <= c.querySelector('svg').viewBox.baseVal.width]))"
    )
    data = report(run).read_text("utf-8").split('type="application/json">')[1].split("</script>")[0]
    embedded = sorted(
        [image["key"], int(coco_masks.area({"size": image["maskSize"], "counts": box[7]})), True]
        for image in json.loads(data)["images"]
        for box in image.get("boxes", [])
        if len(box) > 7
    )
    assert len(embedded) > 20 and sorted(drawn) == embedded
    visible = "getComputedStyle(document.querySelector('path.mask')).display"
    assert browser.run(visible) != "none"
    browser.run("document.getElementById('f-masks').click()")
    assert browser.run(visible) == "none"
    assert browser.complaints == []


def test_a_caption_with_a_script_is_text(browser: Browser, run: Any) -> None:
    browser.open(report(run))
    browser.set("f-gallery", "")
    browser.wait("document.querySelectorAll('.card').length > 0")
    odd = "</script><script>document.title='owned'</script>"
    assert any(odd in row["caption"] for row in run.rows["pairs"])
    seen = browser.run("[...document.querySelectorAll('.caption')].map(e => e.textContent).join('|')")
    assert odd in seen
    assert browser.run("document.title") == "shapes: what is in these labels"
    assert browser.run("document.querySelectorAll('script').length") == 2
    # and had it become an element, the policy would not run it
    browser.run(
        "(() => { const s = document.createElement('script'); s.textContent = \"document.title = 'owned'\";"
        " document.body.append(s); })()"
    )
    assert browser.run("document.title") == "shapes: what is in these labels"
    assert any("Content Security Policy" in complaint for complaint in browser.complaints)


def test_spans_are_marked_where_they_are(browser: Browser, run: Any) -> None:
    """Offsets count code points: captions that begin with an emoji would show a wrong cut."""
    browser.open(report(run))
    browser.set("f-gallery", "")
    rows = browser.run(
        "[...document.querySelectorAll('.card')].map(c => [c.querySelector('.meta').textContent.slice(0, 12),"
        " [...c.querySelectorAll('.caption mark, .caption s')].map(m => m.textContent)])"
    )
    expected = {row["key"]: [phrase["text"] for phrase in row["phrases"]] for row in run.rows["phrases"]}
    emoji = [key for key, _ in rows if "😀" in next(r["caption"] for r in run.rows["pairs"] if r["key"] == key)]
    assert emoji and rows
    assert all(marks == expected[key] for key, marks in rows)


def test_a_span_has_its_best_score_and_number_of_boxes(browser: Browser, run: Any) -> None:
    browser.open(report(run))
    shown = browser.run(
        "[...document.querySelectorAll('.card')].map(c => [c.querySelector('.meta').textContent.slice(0, 12),"
        " [...c.querySelectorAll('mark[data-score]')].map(m => [+m.dataset.phrase, m.dataset.score])])"
    )
    kept = {row["key"]: row["boxes"] for row in run.rows["pseudo"]}
    seen = 0
    for key, marks in shown:
        scores: dict[int, list[float]] = {}
        for box in kept[key]:
            scores.setdefault(box["phrase"], []).append(box["score"])
        assert {phrase for phrase, _ in marks} == set(scores)
        for phrase, text in marks:
            best, _, times = text.partition(" ×")
            assert float(best) == pytest.approx(max(scores[phrase]), abs=0.0051)
            assert int(times or 1) == len(scores[phrase])
            seen += 1
    assert seen > 10


def test_warnings_say_their_limit_and_why(browser: Browser, run: Any) -> None:
    browser.open(report(run))
    stats = json.loads((run.root / "report" / "stats.json").read_text())
    shown = browser.run("[...document.querySelectorAll('#warnings li')].map(e => e.textContent)")
    assert len(shown) == len(stats["warnings"]) > 0
    unusual = [check for check in checks(stats) if check.unusual]
    for text, warning, check in zip(shown, stats["warnings"], unusual, strict=True):
        assert warning["code"] in text and warning["reason"] in text
        assert f"Usual: {page_text.usual(check)}." in text
    rows = browser.run(
        "[...document.querySelectorAll('#checks tbody tr')].map(e => [...e.cells].map(c => c.textContent))"
    )
    expected = [[c.code, page_text.measured(c), page_text.usual(c), c.reason] for c in checks(stats)]
    assert rows == expected and len(rows) > len(shown)


def test_captions_alone_are_no_failed_labelling(browser: Browser, shapes: Callable[..., Any]) -> None:
    """Run through all stages, they have empty labels: the page speaks of their phrases, and of nothing else."""
    run = shapes(part_size=200).fill(120, until="phrases", gold=False)
    run.write("pairs", 0, [{**row, "image": None, "sha256": None} for row in run.rows["pairs"]])
    for dataset in ("labels", "pseudo"):
        run.write(dataset, 0, [])
    run.audit()
    browser.open(report(run))
    assert browser.run("[...document.querySelectorAll('section')].map(e => e.id)") == [
        *("warnings", "funnel", "phrases", "counting"),
    ]
    text = browser.run("document.body.innerText")
    assert "There are no labels: no pair has an image." in text and "kept box" not in text
    assert browser.run("document.querySelector('#warnings li code').textContent") == "no_images"
    mentions = Counter(p["norm"] for row in run.rows["phrases"] for p in row["phrases"])
    first = browser.run("[...document.querySelector('#phrases table tbody tr').cells].map(c => c.textContent)")
    assert first == [min(mentions, key=lambda norm: (-mentions[norm], norm)), str(max(mentions.values()))]
    assert browser.complaints == []


def test_a_long_table_opens(browser: Browser, run: Any) -> None:
    browser.open(report(run))
    visible = (
        "[...document.querySelectorAll('#phrases table')].map(t => [...t.rows].filter(r => r.offsetHeight).length - 1)"
    )
    folded = browser.run(visible)
    for _ in range(browser.run("document.querySelectorAll('button.rows').length")):
        browser.run("document.querySelector('button.rows').click()")
    tables = json.loads((run.root / "report" / "stats.json").read_text())["phrases_tables"]
    names = [name for name, *_ in page_text.TABLES[1:] if tables[name]]
    assert folded[: len(names)] == [min(len(tables[name]), 12) for name in names]
    assert browser.run(visible)[: len(names)] == [len(tables[name]) for name in names] != folded[: len(names)]
    assert browser.complaints == []


def test_what_is_not_drawn_is_counted_by_the_filter(browser: Browser, shapes: Callable[..., Any]) -> None:
    """An image with more boxes than are drawn, the kept ones among them: the others were dropped."""
    run = shapes().fill(2, until="phrases", gold=False)  # its first row is a reject
    row = run.rows["phrases"][0]
    corners = {"x1": 1.0, "y1": 1.0, "x2": 30.0, "y2": 30.0}
    boxes = [{"phrase": 0, **corners, "score": 0.9 if i < 5 else 0.2} for i in range(60)]
    labels = {"key": row["key"], "width": 320, "height": 240, "boxes": boxes, "dropped": []}
    low = [{"box": i, "reason": "low_score"} for i in range(5, 60)]
    run.write("labels", 0, [labels])
    run.write("pseudo", 0, [{**labels, "boxes": boxes[:5], "dropped": low}])
    run.audit()
    browser.open(report(run))
    meta = "document.querySelector('.card .meta').textContent"
    assert "5 boxes" in browser.run(meta) and "more" not in browser.run(meta)
    browser.set("f-reason", "all")
    assert f"{60 - samples.MOST_BOXES} more not drawn" in browser.run(meta)


def test_boxes_and_spans_of_a_phrase_share_their_colour(browser: Browser, run: Any) -> None:
    browser.open(report(run))
    pairs = browser.run(
        "[...document.querySelectorAll('.card')].flatMap(c => [...c.querySelectorAll('rect.box')].map(r => ["
        " getComputedStyle(r).stroke,"
        " getComputedStyle(c.querySelector(`mark[data-phrase='${r.dataset.phrase}']`)).borderBottomColor]))"
    )
    assert len(pairs) > 10 and all(stroke == border for stroke, border in pairs)
    assert len({stroke for stroke, _ in pairs}) >= 3


def test_two_phrases_on_one_thing_show_both_colours(browser: Browser, shapes: Callable[..., Any]) -> None:
    run = shapes().fill(2, until="phrases", gold=False)  # its first row is a reject
    row = next(row for row in run.rows["phrases"] if len(row["phrases"]) > 1)
    edges = ((0, 100.0), (0, 101.0), (1, 101.0), (1, 200.0))  # phrase, right edge: only the third is over another's
    boxes = [{"phrase": p, "x1": 10.0, "y1": 10.0, "x2": x, "y2": 90.0, "score": 0.9} for p, x in edges]
    labels = {"key": row["key"], "width": 320, "height": 240, "boxes": boxes, "dropped": []}
    for dataset in ("labels", "pseudo"):
        run.write(dataset, 0, [labels])
    run.audit()
    browser.open(report(run))
    dashes = browser.run(
        "[...document.querySelectorAll('.card rect.box')].map(e => getComputedStyle(e).strokeDasharray)"
    )
    assert dashes == ["none", "none", "7px, 7px", "none"]
    assert json.loads((run.root / "report" / "stats.json").read_text())["box_shapes"]["near_duplicates"] == 3


@pytest.mark.parametrize("size", [(320, 120), (320, 240), (120, 320)])
def test_a_image_is_shown_whole_and_in_proportion(
    browser: Browser, shapes: Callable[..., Any], size: tuple[int, int]
) -> None:
    run = shapes().fill(3, size=size)
    run.audit()
    browser.open(report(run))
    shot, frame = browser.run(
        "['.shot', '.frame43'].map(s => document.querySelector(s).getBoundingClientRect()).map(r =>"
        " [r.left, r.top, r.right, r.bottom])"
    )
    assert all(inner >= outer - 1 for inner, outer in zip(shot[:2], frame[:2]))
    assert all(inner <= outer + 1 for inner, outer in zip(shot[2:], frame[2:]))
    assert (shot[2] - shot[0]) / (shot[3] - shot[1]) == pytest.approx(size[0] / size[1], rel=0.02)


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_nothing_is_wider_than_the_screen(browser: Browser, run: Any, width: int) -> None:
    browser.open(report(run), width=width)
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_dark_is_dark(browser: Browser, run: Any) -> None:
    browser.open(report(run))
    light = browser.run("getComputedStyle(document.body).backgroundColor")
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    dark = browser.run("getComputedStyle(document.body).backgroundColor")
    browser.call("Emulation.setEmulatedMedia", features=[])
    assert light == "rgb(251, 250, 246)" and dark == "rgb(21, 22, 26)"


def test_five_thousand_images_stay_lazy_and_bounded(
    browser: Browser, shapes: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shapes(part_size=100, audit={"pictures": 5000}).fill(100, size=(96, 72))
    shown: list[SampleImage] = []
    load = samples.load

    def many(*arguments: Any) -> list[SampleImage]:
        loaded = [image for image in load(*arguments) if image.thumbnail]
        for i in range(5000):
            image = loaded[i % len(loaded)]
            shown.append(replace(image, pair=replace(image.pair, key=f"{i:012d}"), galleries={"sample": i}))
        return shown

    monkeypatch.setattr(samples, "load", many)
    run.audit()
    assert report(run).stat().st_size < 1.5 * page.BUDGET
    browser.open(report(run))
    assert browser.text("f-count") == "5,000 of 5,000 images"
    assert browser.run("document.querySelectorAll('.card').length") == 12
    for _ in range(10):
        browser.run("document.getElementById('f-more').click()")
    assert browser.complaints == []
    assert browser.run("document.querySelectorAll('.card').length") == 12 + 10 * 24
    assert browser.run("document.querySelectorAll('.shot img[loading=lazy]').length") == 12 + 10 * 24
    browser.set("f-phrase", "ball")  # among all of them
    found = sum(any("ball" in (phrase.norm or "") for phrase in image.phrases) for image in shown)
    assert browser.text("f-count") == f"{found:,} of 5,000 images"


def test_the_budget_of_bytes_holds(shapes: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "BUDGET", 40_000)
    run = shapes().fill(40)
    run.audit()
    text = report(run).read_text()
    assert text.count('"thumbnail":') >= 5
    assert "more would pass the page&#39;s limit" in text or "more would pass the page's limit" in text
    embedded = text.split('type="application/json">')[1].split("</script>")[0]
    assert len(embedded.split('"images":')[1].encode()) <= 40_000 + 100


def test_embedded_json_cannot_end_its_element() -> None:
    data = {"a": "</script><!-- & \u2028 😀", "b": [1.5, None]}
    text = embed(data)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == data
