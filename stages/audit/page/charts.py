"""Charts as inline SVG: plain functions from numbers to markup, coloured by the style sheet, read without a script.

Written by hand because the report is one file that opens anywhere, without a network: chart libraries bring
megabytes of script, or pixels that follow no style sheet and cannot be searched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from stages.audit.page.text import compact

WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 34
FLOOR = HEIGHT - BOTTOM  # the y of the horizontal axis
ACROSS, UP = WIDTH - LEFT - RIGHT, FLOOR - TOP  # of the plot, in units of the drawing
CELL = 10  # of a heat map
NOTHING = Markup("")

Tick = tuple[float, str]
Place = Callable[[float], float]


def element(name: str, content: str = "", **attributes: Any) -> Markup:
    """An element; values and text are escaped, numbers rounded to tenths, `class_` is class and `_` in names `-`."""
    inside = NOTHING
    for key, value in attributes.items():
        text = f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
        inside += Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), text)
    return Markup("<{0}{1}>{2}</{0}>").format(name, inside, content)


def histogram(
    counts: Sequence[int],
    ticks: Sequence[Tick],
    bins: Sequence[str],
    label: str,
    mark: float = -1.0,
    log: bool = False,
) -> Markup:
    """Vertical bars. `ticks`: (position in bins, text); `bins`: what each bar is called; `mark`: a vertical line.

    `log`: the height of a bar is that of log(1 + count).
    """
    top = max([*counts, 1])

    def y_at(count: float) -> float:
        return FLOOR - UP * (math.log1p(count) / math.log1p(top) if log else count / top)

    step = ACROSS / max(len(counts), 1)
    inside = NOTHING
    for i, count in enumerate(counts):
        y = y_at(count)
        title = element("title", f"{bins[i]}: {count:,}")
        place = {"x": LEFT + i * step + 0.5, "y": y, "width": max(step - 1, 0.6), "height": FLOOR - y}
        inside += element("rect", title, class_="bar", **place)
    if mark >= 0:
        inside += _upright("mark", LEFT + mark * step)
    marks = [(LEFT + position * step, text) for position, text in ticks]
    return _frame(inside, marks, [0.0, *_powers(top)] if log else _levels(top), y_at, label)


def lines(
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    x_ticks: Sequence[Tick],
    label: str,
    log: bool = False,
    top: float = 0.0,
    cursor: bool = False,
    dots: bool = False,
    diagonal: bool = False,
    marks: Sequence[tuple[str, float]] = (),
    band: Sequence[tuple[float, float, float]] = (),
) -> Markup:
    """Lines of the classes s0, s1 ...; `log`: both axes; `cursor`: a vertical line that the page's script moves.

    `marks`: (class, x) of further vertical lines; `band`: (x, low, high) of an area behind the lines.
    """
    points = [point for _, line in series for point in line]
    if not points:
        return NOTHING
    xs = [x for x, _ in points] + [x for x, _ in x_ticks]
    peak = max(top or max(y for _, y in points) or 1, 10 if log else 0)
    x_at, y_at = _scales(min(xs), max(xs), peak, log)
    inside = NOTHING
    if band:
        edge = [(x, low) for x, low, _ in band] + [(x, high) for x, _, high in reversed(band)]
        inside += element("polygon", class_="band", points=" ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in edge))
    if diagonal:
        ends: dict[str, Any] = {"x1": x_at(min(xs)), "y1": y_at(min(xs)), "x2": x_at(max(xs)), "y2": y_at(max(xs))}
        inside += element("line", class_="grid", **ends)
    for i, (name, line) in enumerate(series):
        path = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in line)
        inside += element("polyline", element("title", name), class_=f"line s{i}", points=path)
        for x, y in line if dots else ():
            title = element("title", f"{x:g}: {y:.3g}")
            inside += element("circle", title, class_=f"dot s{i}", cx=x_at(x), cy=y_at(y), r=3)
    if cursor:
        span = {
            "data_from": x_at(min(xs)),
            "data_to": x_at(max(xs)),
            "data_low": str(min(xs)),
            "data_high": str(max(xs)),
        }
        inside += _upright("mark cursor", 0.0, **span)
    for class_, x in marks:
        inside += _upright(f"mark {class_}", x_at(x))
    levels = _powers(peak) if log else _levels(peak)
    return _frame(inside, [(x_at(x), text) for x, text in x_ticks], levels, y_at, label)


def heat(cells: Sequence[Sequence[int]]) -> Markup:
    """A square map of counts; opacity is relative to the fullest cell."""
    top = max([count for row in cells for count in row] + [1])
    side = len(cells) * CELL
    inside = NOTHING
    for y, row in enumerate(cells):
        for x, count in enumerate(row):
            if count:
                opacity = f"{count / top:.2f}"
                place: dict[str, Any] = {"x": x * CELL, "y": y * CELL, "width": CELL, "height": CELL}
                title = element("title", f"{count:,}")
                inside += element("rect", title, class_="heat", fill_opacity=opacity, **place)
    inside += element("rect", class_="frame", x=0, y=0, width=side, height=side)
    return _svg(inside, "chart square", side, side, "where box centres lie")


def scatter(cells: Sequence[Sequence[int]], x_ticks: Sequence[Tick], y_ticks: Sequence[Tick], label: str) -> Markup:
    """A plot of counts in cells, the topmost row first; opacity goes with the root of a count, so that single points
    show. Ticks: (position in cells from the left, or from the top; text)."""
    top = max([count for row in cells for count in row] + [1])
    across, down = ACROSS / max((len(row) for row in cells), default=1), UP / max(len(cells), 1)
    inside = NOTHING
    for y, row in enumerate(cells):
        for x, count in enumerate(row):
            if count:
                place: dict[str, Any] = {"x": LEFT + x * across, "y": TOP + y * down, "width": across, "height": down}
                opacity = f"{max(math.sqrt(count / top), 0.12):.2f}"
                inside += element("rect", element("title", f"{count:,}"), class_="heat", fill_opacity=opacity, **place)
    inside += element("rect", class_="frame", x=LEFT, y=TOP, width=ACROSS, height=UP)
    for position, text in y_ticks:
        inside += element("text", text, class_="y", x=LEFT - 6, y=TOP + position * down + 4)
    marks = [(LEFT + position * across, text) for position, text in x_ticks]
    return _frame(inside, marks, [], float, label)


def _scales(low: float, high: float, peak: float, log: bool) -> tuple[Place, Place]:
    """From values to places in the drawing."""

    def x_at(x: float) -> float:
        if log:
            return LEFT + ACROSS * math.log(x / low) / max(math.log(high / low), 1e-9)
        return LEFT + ACROSS * (x - low) / max(high - low, 1e-9)

    def y_at(y: float) -> float:
        return FLOOR - UP * (math.log(max(y, 1)) / math.log(peak) if log else y / peak)

    return x_at, y_at


def _powers(top: float) -> list[float]:
    return [10.0**k for k in range(12) if 10.0**k <= top]


def _levels(top: float) -> list[float]:
    """Three to five round values from 0 up to the top, two where counts are too low for more."""
    raw = top / 4
    magnitude = 10.0 ** math.floor(math.log10(raw)) if raw > 0 else 1.0
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw)
    if top >= 2:
        step = max(step, 1.0)
    return [i * step for i in range(int(top / step + 1e-9) + 1)]


def _frame(inside: Markup, x_ticks: Sequence[Tick], levels: Sequence[float], y_at: Place, label: str) -> Markup:
    """The plot with its horizontal grid, the ticks of both axes and the name of the horizontal one."""
    grid = NOTHING
    for level in levels:
        y = y_at(level)
        text = compact(level) if level == int(level) else f"{level:g}"
        grid += element("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y)
        grid += element("text", text, class_="y", x=LEFT - 6, y=y + 4)
    for x, text in x_ticks:
        grid += element("text", text, class_="x", x=x, y=FLOOR + 15)
    grid += element("text", label, class_="label", x=LEFT + ACROSS / 2, y=HEIGHT - 3)
    return _svg(grid + inside, "chart", WIDTH, HEIGHT, label)


def _upright(class_: str, x: float, **attributes: Any) -> Markup:
    return element("line", class_=class_, x1=x, x2=x, y1=TOP, y2=FLOOR, **attributes)


def _svg(inside: Markup, class_: str, width: int, height: int, label: str) -> Markup:
    attributes = {"viewBox": f"0 0 {width} {height}", "role": "img", "aria_label": label}
    return element("svg", inside, class_=class_, **attributes)
