"""The part on duplicates: its sentences, and the part as a reader meets it in a real browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages.audit import page
from stages.audit.page import duplicates
from tests.stages.audit.browser import Browser
from tests.stages.audit.curated import ODD, ODD_NAME, audited


def report(run: Path) -> Path:
    return run / "report" / "index.html"


def figures(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "report" / "stats.json").read_text("utf-8"))["curation"]
    return found


@pytest.mark.parametrize("name", ["perceptual", "by_vectors"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_opens_without_a_complaint_and_fits(
    browser: Browser, request: pytest.FixtureRequest, name: str, width: int
) -> None:
    run: Path = request.getfixturevalue(name)
    browser.open(report(run), width=width)
    assert browser.run("document.querySelector('nav a[href=\"#duplicates\"]').textContent") == "Duplicates"
    assert browser.run("document.documentElement.scrollWidth") <= width
    browser.run("document.querySelectorAll('#duplicates img').forEach(image => image.loading = 'eager')")
    browser.wait("[...document.querySelectorAll('#duplicates img')].every(image => image.complete)")
    sizes = browser.run("[...document.querySelectorAll('#duplicates img')].map(i => [i.naturalWidth, i.naturalHeight])")
    assert len(sizes) > 20 and all(0 < max(size) <= 192 for size in sizes)
    assert browser.complaints == [] and browser.requests == [report(run).as_uri()]


def test_reasons_and_sources_have_the_numbers_of_the_files(browser: Browser, perceptual: Path) -> None:
    browser.open(report(perceptual))
    found = figures(perceptual)
    cells = "[...document.querySelectorAll('#{} tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    reasons = browser.run(cells.format("aside"))
    assert [(row[0].startswith(reason), row[1]) for row, reason in zip(reasons, found["set_aside"], strict=True)] == [
        (True, str(count)) for count in found["set_aside"].values()
    ]
    shown = {row[0]: [int(cell) for cell in (row[1], *row[3:])] for row in browser.run(cells.format("sources"))}
    assert shown == {
        row["source"]: [
            row["pairs"],
            sum(row["set_aside"].get(reason, 0) for reason in ("exact_duplicate", "near_duplicate")),
            row["set_aside"].get("benchmark_leak", 0),
            row["set_aside"].get("extreme_aspect", 0),
        ]
        for row in found["sources"]
    }
    assert shown["laion/part/00000.tar"] == [10, 2, 2, 1]


def test_a_group_begins_with_what_is_kept(browser: Browser, perceptual: Path) -> None:
    browser.open(report(perceptual))
    names = {
        row["key"]: row["source_id"]
        for path in sorted((perceptual / "pairs").glob("*"))
        for row in pq.read_table(path).to_pylist()
    }
    shown = browser.run(
        "[...document.querySelectorAll('.group')].map(g => [...g.querySelectorAll('figure')].map(f => "
        "[f.className.split(' ')[0], f.querySelector('figcaption').innerText.split('\\n')[0].split(' ').at(-1),"
        " f.querySelector('figcaption').innerText.split('\\n')[1]]))"
    )
    groups = figures(perceptual)["largest_groups"]
    assert len(shown) == len(groups) > 3
    for own, group in zip(shown, groups, strict=True):
        keys = [group["kept"], *(copy["pair"] for copy in group["copies"])]
        assert own == [["first" if not i else "copy", key, names[key]] for i, key in enumerate(keys)]
    text = browser.run("document.querySelector('.group').innerText")
    more = groups[0]["pairs"] - 6
    assert more > 0 and f"{groups[0]['pairs']} pairs, {more} of them not shown" in text
    assert "exact copy" in browser.run("[...document.querySelectorAll('.group')].map(g => g.innerText).join()")


@pytest.mark.parametrize("name", ["perceptual", "by_vectors"])
def test_the_slider_tells_what_stays_and_takes_copies_apart(
    browser: Browser, request: pytest.FixtureRequest, name: str
) -> None:
    run: Path = request.getfixturevalue(name)
    browser.open(report(run))
    found = figures(run)["threshold"]
    whole = found["near_duplicates"]
    copies = "[...document.querySelectorAll('#duplicates [data-likeness]')].map(f => [+f.dataset.likeness, "
    seen = set()
    for row in found["by_threshold"]:
        browser.set("likeness-at", str(row["threshold"]))
        assert float(browser.text("likeness-value")) == pytest.approx(row["threshold"])
        assert browser.text("l-stay") == f"{row['pairs']:,}" and browser.text("l-back") == f"{whole - row['pairs']:,}"
        apart = browser.run(copies + "f.classList.contains('apart')])")
        assert len(apart) > 5 and all(shown is (likeness < row["threshold"]) for likeness, shown in apart)
        cursor = float(browser.run("document.querySelector('.mark.likeness').getAttribute('x1')"))
        share = (row["threshold"] - found["value"]) / (1 - found["value"])
        assert cursor == pytest.approx(44 + (360 - 44 - 8) * share, abs=0.2)
        seen.add(row["pairs"])
    assert len(seen) > 2 and browser.complaints == []


def test_a_leak_stands_beside_the_image_of_the_benchmark(browser: Browser, perceptual: Path) -> None:
    browser.open(report(perceptual))
    captions = browser.run(
        "[...document.querySelectorAll('.leak')].map(g => "
        "[...g.querySelectorAll('figcaption')].map(c => c.innerText.split('\\n')[0]))"
    )
    leaks = figures(perceptual)["leaks"]["most"]
    assert captions == [[f"benchmark {leak['image']}", *leak["copies"]] for leak in leaks] and len(leaks) == 2
    first = browser.run("document.querySelector('.leak .first img').src.split(',')[1]")
    assert base64.b64decode(first)[8:12] == b"WEBP"


def test_clusters_have_their_images_and_phrases(browser: Browser, by_vectors: Path) -> None:
    browser.open(report(by_vectors))
    clusters = figures(by_vectors)["clusters"]["largest"]
    shown = browser.run(
        "[...document.querySelectorAll('.cluster')].map(c => [c.querySelector('b').textContent,"
        " [...c.querySelectorAll('figcaption')].map(f => f.innerText.split('\\n')[0]),"
        " [...c.querySelectorAll('span.typical')].map(s => s.firstChild.textContent.trim())])"
    )
    assert shown == [
        [f"{own['pairs']} pairs", own["typical"], [row["phrase"] for row in own["phrases"]]] for own in clusters
    ]
    assert any(own["phrases"] for own in clusters) and "Captions that fit" in browser.run("document.body.innerText")


def test_hostile_names_and_captions_are_text(browser: Browser, perceptual: Path) -> None:
    browser.open(report(perceptual))
    titles = browser.run("[...document.querySelectorAll('#duplicates img')].map(i => i.title)")
    assert ODD in titles
    text = browser.run("document.querySelector('#duplicates').innerText")
    assert ODD_NAME in text and "val:2017:<b>1.jpg" in text
    assert browser.run("document.querySelectorAll('img[src=x], #duplicates figcaption b b').length") == 0
    assert browser.run("document.title") == "run: what is in these labels"
    assert browser.run("document.querySelectorAll('script').length") == 2


def test_images_of_duplicates_are_within_the_pages_budget(
    perceptual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(perceptual, run)
    spent = sum(map(len, re.findall(r"data:image/webp;base64,([^\"`]+)\"", report(run).read_text("utf-8"))))
    assert spent > 50_000
    monkeypatch.setattr(page, "BUDGET", spent + 20_000)
    audited(run, "--set=audit.seed=5")
    embedded = report(run).read_text("utf-8").split('type="application/json">')[1].split("</script>")[0]
    assert 0 < len(json.loads(embedded)["images"]) < 20 and len(embedded) < 22_000


def test_what_a_copy_is_called() -> None:
    threshold = {"value": 0.8}
    near = {"reason": "near_duplicate", "likeness": 0.812}
    assert duplicates.note(near, threshold) == "likeness 0.812" and duplicates.note(near, None) == "near copy"
    assert duplicates.note({**near, "likeness": 0.31}, threshold) == "by way of another 0.310"
    assert duplicates.note({**near, "likeness": None}, threshold) == "by way of another"
    assert duplicates.note({"reason": "exact_duplicate", "likeness": None}, threshold) == "exact copy"
    assert duplicates.lift(3.14159) == "×3.1" and duplicates.lift(1234.5) == "×1,234"


@pytest.mark.parametrize(
    ("least", "expected"),
    [
        (0.8, ["0.8", "0.85", "0.9", "0.95", "1"]),
        (0.99, ["0.99", "1"]),
        (0.0, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (-1.0, ["-1", "-0.8", "-0.6", "-0.4", "-0.2", "0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (1.0, ["1"]),
    ],
)
def test_ticks_are_round(least: float, expected: list[str]) -> None:
    assert [text for _, text in duplicates.ticks({"threshold": {"value": least}})] == expected
