"""People at the page: a real headless browser, keys alone, a reload, and the figures counted again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from stages.review.figures import review_figures
from tests.pipeline.cli.review.serving import serving
from tests.stages.audit.browser import Browser
from tests.stages.audit_run import ODD
from tests.stages.review.sitting import lines, precision, truth

VERDICTS = {"1": "right", "2": "wrong_box", "3": "wrong_phrase", "4": "unsure"}


@pytest.fixture
def run(shapes: Callable[..., Any]) -> Any:
    return shapes(part_size=40).fill(110)


def begin(browser: Browser, address: str, name: str = "ann", **size: int) -> None:
    browser.open(address, **size)
    browser.run("sessionStorage.clear()")
    browser.open(address, **size)
    for key in name:
        browser.press(key)
    browser.press("Enter")
    browser.wait("document.body?.dataset.task !== undefined")


def task(browser: Browser) -> str:
    return str(browser.run("document.body.dataset.task"))


def answer(browser: Browser, key: str, shift: bool = False) -> None:
    """Press a key, and wait until the next task is shown."""
    before = task(browser)
    browser.press(key, shift)
    browser.wait(f"document.body.dataset.task !== '{before}'")


def test_fifty_judgements_by_keyboard_with_a_reload(browser: Browser, run: Any) -> None:
    with serving(run, boxes=150) as server:
        units = server.session.units
        keys = ["1" if truth(run, unit) else ("2", "3")[i % 2] for i, unit in enumerate(units)]
        keys[7] = keys[30] = "4"
        begin(browser, server.address)
        for number in range(25):
            assert task(browser) == str(number)
            answer(browser, keys[number])
        browser.run("window.before = true")
        browser.call("Page.reload")
        browser.wait("!window.before && document.body?.dataset.task === '25'")
        assert browser.text("place") == "26 of 150, 25 judged"
        for number in range(25, 50):
            answer(browser, keys[number])
        said = lines(run, "ann")
        assert browser.text("place") == "51 of 150, 50 judged"
        assert [text for text in browser.complaints if "404" not in text] == []  # some pairs here have no image
    assert [line["verdict"] for line in said] == [VERDICTS[key] for key in keys[:50]]
    assert [(line["key"], tuple(line["box"])) for line in said] == [(unit.key, unit.corners) for unit in units[:50]]
    figures = review_figures(run.all_parts(), run.config)
    assert figures is not None and figures["boxes"] == 48 and figures["reviewers"] == {"ann": 50}
    sure = [line for line in said if line["verdict"] != "unsure"]
    right = {
        (line["key"], (line["start"], line["end"]), tuple(line["box"])): float(line["verdict"] == "right")
        for line in sure
    }
    (row,) = [row for row in figures["by_threshold"] if row["threshold"] == 0.1]
    assert row["judged"] == 48 and row["precision"] == pytest.approx(precision(run, right, 0.1), abs=1e-6)


def test_back_and_undo(browser: Browser, run: Any) -> None:
    with serving(run) as server:
        begin(browser, server.address)
        for key in "123":
            answer(browser, key)
        answer(browser, "ArrowLeft")
        assert task(browser) == "2"
        assert browser.run("document.querySelector('.chosen').dataset.verdict") == "wrong_phrase"
        answer(browser, "1")  # another verdict on the same task
        assert task(browser) == "3"
        answer(browser, "z")
        assert task(browser) == "2" and browser.text("place") == "3 of 40, 2 judged"
        answer(browser, "z")
        assert task(browser) == "1"
        answer(browser, "1")
        said = [task["verdict"] for task in server.session.state("ann")["tasks"]]
    assert said == ["right", "right", *[None] * 38]
    assert [line["verdict"] for line in lines(run, "ann")] == [
        *("right", "wrong_box", "wrong_phrase", "right", None, None, "right"),
    ]


def test_a_phrase_is_drawn_by_keys_or_by_pointer(browser: Browser, run: Any) -> None:
    with serving(run, boxes=0, phrases=6) as server:
        begin(browser, server.address)
        browser.press("Enter")  # nothing is drawn yet
        browser.wait("document.getElementById('hint').textContent.startsWith('Draw a box')")
        browser.press("b")
        for _ in range(5):
            browser.press("ArrowRight")
            browser.press("ArrowUp", shift=True)
        answer(browser, "Enter")
        area = browser.run("(() => { const r = document.getElementById('whole').getBoundingClientRect();"
                           " return [r.left, r.top, r.width, r.height]; })()")  # fmt: skip
        left, top, width, height = area
        places = [(0.25, 0.25, "mousePressed"), (0.4, 0.5, "mouseMoved"), (0.5, 0.75, "mouseReleased")]
        for x, y, kind in places:
            at = {"x": left + x * width, "y": top + y * height}
            browser.call("Input.dispatchMouseEvent", type=kind, **at, button="left", buttons=1, clickCount=1)
        browser.wait("document.querySelectorAll('#whole rect.box').length === 1")
        answer(browser, "Enter")
        answer(browser, "1")
    first, second, third = lines(run, "ann")
    assert first["verdict"] == second["verdict"] == "there" and third["verdict"] == "absent"
    assert first["boxes"][0] == pytest.approx([320 * 0.45, 240 * 0.35, 320 * 0.75, 240 * 0.55], abs=0.1)
    assert second["boxes"][0] == pytest.approx([80, 60, 128, 120], abs=2)
    assert third["boxes"] == []


Point = tuple[float, float]


def touch(browser: Browser, kind: str, *points: Point) -> None:
    fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    browser.call("Input.dispatchTouchEvent", type=kind, touchPoints=fingers)


def tap(browser: Browser, button: str) -> None:
    x, y = browser.run(
        f"(() => {{ const b = document.querySelector('#answers button[{button}]'); b.scrollIntoView();"
        " const r = b.getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]; })()"
    )
    touch(browser, "touchStart", (x, y))
    touch(browser, "touchEnd")


def answer_by_tap(browser: Browser, verdict: str) -> None:
    before = task(browser)
    tap(browser, f'data-verdict="{verdict}"')
    browser.wait(f"document.body.dataset.task !== '{before}'")


def test_a_finger_is_enough(browser: Browser, run: Any) -> None:
    """On a telephone: judge, go back, draw. A touch that the system takes away, or a second finger, draws nothing."""
    with serving(run, boxes=3, phrases=4) as server:
        begin(browser, server.address, width=360, height=740)
        browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
        how = "getComputedStyle(document.getElementById('whole')).touchAction"
        assert browser.run(how) == "auto"  # of a box the page can be scrolled, and the image enlarged
        for verdict in ("right", "wrong_box", "wrong_phrase"):
            answer_by_tap(browser, verdict)
        tap(browser, 'data-action="undo"')
        browser.wait("document.body.dataset.task === '2'")
        answer_by_tap(browser, "unsure")
        assert browser.run(how) == "none"

        def at(across: float, down: float) -> Point:
            browser.run("document.getElementById('whole').scrollIntoView()")
            left, top, width, height = browser.run(
                "(() => { const r = document.getElementById('whole').getBoundingClientRect();"
                " return [r.left, r.top, r.width, r.height]; })()"
            )
            return left + across * width, top + down * height

        def boxes(number: int) -> str:
            return f"document.querySelectorAll('#whole rect.box').length === {number}"

        touch(browser, "touchStart", at(0.25, 0.25))
        touch(browser, "touchMove", at(0.4, 0.5))
        touch(browser, "touchMove", at(0.5, 0.75))
        touch(browser, "touchEnd")
        browser.wait(boxes(1))
        touch(browser, "touchStart", at(0.1, 0.1))
        touch(browser, "touchMove", at(0.3, 0.3))
        browser.wait(boxes(2))
        touch(browser, "touchCancel")
        browser.wait(boxes(1))
        touch(browser, "touchStart", at(0.6, 0.1))
        touch(browser, "touchStart", at(0.6, 0.1), at(0.1, 0.6))
        touch(browser, "touchMove", at(0.8, 0.3), at(0.3, 0.8))
        touch(browser, "touchEnd")
        browser.wait(boxes(2))
        answer_by_tap(browser, "there")
        answer_by_tap(browser, "absent")
    said = lines(run, "ann")
    assert [line["verdict"] for line in said] == [
        *("right", "wrong_box", "wrong_phrase", None, "unsure", "there", "absent"),
    ]
    assert said[5]["boxes"] == [
        pytest.approx([80, 60, 160, 180], abs=3),
        pytest.approx([192, 24, 256, 72], abs=3),
    ]


def test_hostile_captions_stay_text(browser: Browser, run: Any) -> None:
    with serving(run, boxes=150) as server:
        captions = [server.session.samples[unit.key].pair.caption for unit in server.session.units]
        odd = next(i for i, caption in enumerate(captions) if ODD in caption)
        server.session.units[0], server.session.units[odd] = server.session.units[odd], server.session.units[0]
        begin(browser, server.address)
        assert ODD in browser.text("caption")
        assert browser.run("document.title") == "phrasebox review"
        assert browser.run("document.scripts.length") == 1
        browser.run("(() => { const s = document.createElement('script'); s.textContent = \"document.title = 'owned'\";"
                    " document.body.append(s); })()")  # fmt: skip
        assert browser.run("document.title") == "phrasebox review"
        assert any("Content Security Policy" in complaint for complaint in browser.complaints)


HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"> a dog",
    "<svg/onload=document.title='owned'> <a href=javascript:alert(1)>a dog</a>",
    "&lt;b&gt; {{7*7}} ${document.title='owned'} `x` \\u003cscript> --> ]]> </textarea></title>",
    "a dog \u202e god a \u2066 \x00 \x1b[31m",
)


@pytest.mark.parametrize("caption", HOSTILE)
def test_no_caption_becomes_anything_but_text(browser: Browser, run: Any, caption: str) -> None:
    with serving(run, boxes=20) as server:
        session = server.session
        for key, sample in session.samples.items():
            session.samples[key] = replace(sample, pair=replace(sample.pair, caption=caption))
        session.units = [replace(unit, span=(2, 9)) for unit in session.units]
        begin(browser, server.address)
        assert browser.text("caption") == caption
        assert browser.run("document.querySelector('mark').textContent") == caption[2:9]
        assert browser.run("document.querySelectorAll('#caption *').length") == 1  # the mark
        assert browser.run("document.title") == "phrasebox review"
        answer(browser, "3")
    (line,) = lines(run, "ann")
    assert line["text"] == caption[2:9] and line["verdict"] == "wrong_phrase"


def test_the_phrase_is_marked_where_it_stands(browser: Browser, run: Any) -> None:
    """Offsets count code points: after an emoji, UTF-16 would cut elsewhere."""
    with serving(run, boxes=150) as server:
        captions = [server.session.samples[unit.key].pair.caption for unit in server.session.units]
        first = next(i for i, caption in enumerate(captions) if caption.startswith("😀"))
        server.session.units[0], server.session.units[first] = server.session.units[first], server.session.units[0]
        begin(browser, server.address)
        start, end = server.session.units[0].span
        marked = browser.run("document.querySelector('mark').textContent")
        assert marked == captions[first][start:end] and browser.text("caption") == captions[first]


def test_what_cannot_be_kept_is_said(browser: Browser, run: Any) -> None:
    with serving(run) as server:
        begin(browser, server.address)

        def full(path: str, line: bytes) -> None:
            raise OSError(28, "No space left on device")

        append, server.session.append = server.session.append, full
        browser.press("1")
        browser.wait("document.getElementById('saved').className === 'bad'")
        assert "No space left" in browser.text("saved") and task(browser) == "0"
        server.session.append = append
        answer(browser, "1")
    assert [line["verdict"] for line in lines(run, "ann")] == ["right"]


@pytest.mark.parametrize(("width", "height"), [(360, 740), (1440, 900)])
def test_it_fits_a_telephone_and_a_screen(browser: Browser, run: Any, width: int, height: int) -> None:
    with serving(run) as server:
        begin(browser, server.address, width=width, height=height)
        browser.wait("[...document.images].every(image => image.complete && image.naturalWidth)")
        assert browser.run("document.documentElement.scrollWidth") <= width
        bottom = browser.run("document.querySelector('#answers').getBoundingClientRect().bottom")
        assert bottom <= max(height, 1100)
        assert browser.run("document.querySelectorAll('#whole img, #crop img').length") == 2
