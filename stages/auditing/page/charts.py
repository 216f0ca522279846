"""Charts as inline SVG: plain functions from numbers to markup, coloured by the style sheet, read without a script."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from stages.auditing.page.prose import compact

WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 34
Tick = tuple[float, str]


def histogram(counts: Sequence[int], ticks: Sequence[Tick], bins: Sequence[str], label: str, mark: float = -1.0) -> Markup:
    """Vertical bars. `ticks`: (position in bins, text); `bins`: what each bar is called; `mark`: a vertical line."""
    top = max([*counts, 1])
    step = (WIDTH - LEFT - RIGHT) / max(len(counts), 1)
    bars = []
    for i, count in enumerate(counts):
        height = (HEIGHT - TOP - BOTTOM) * count / top
        name = f"{bins[i]}: "
        bars.append(
            Markup('<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}{:,}</title></rect>').format(
                LEFT + i * step + 0.5, HEIGHT - BOTTOM - height, max(step - 1, 0.6), height, name, count
            )
        )
    line = Markup("")
    if mark >= 0:
        x = LEFT + mark * step
        line = Markup('<line class="mark" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(x, TOP, HEIGHT - BOTTOM)
    marks = [(LEFT + position * step, text) for position, text in ticks]
    return _frame(Markup("").join(bars) + line, marks, _levels(top), lambda v: HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * v / top, label)


def lines(
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    x_ticks: Sequence[Tick],
    label: str,
    log: bool = False,
    top: float = 0.0,
    cursor: bool = False,
    dots: bool = False,
    diagonal: bool = False,
) -> Markup:
    """One or more lines (class s0, s1 ...). `log`: both axes; `cursor`: a vertical line that the script moves."""
    points = [p for _, line in series for p in line]
    if not points:
        return Markup("")
    low, high = min([x for x, _ in points] + [x for x, _ in x_ticks]), max([x for x, _ in points] + [x for x, _ in x_ticks])
    peak = top or max(max(y for _, y in points), 1e-9)

    def x_at(x: float) -> float:
        share = (math.log10(x) - math.log10(low)) / max(math.log10(high / low), 1e-9) if log else (x - low) / max(high - low, 1e-9)
        return LEFT + (WIDTH - LEFT - RIGHT) * share

    def y_at(y: float) -> float:
        share = math.log10(max(y, 1)) / max(math.log10(max(peak, 10)), 1e-9) if log else y / peak
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    inside = Markup("")
    if diagonal:
        inside += Markup('<line class="grid" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(x_at(low), y_at(low), x_at(high), y_at(high))
    for i, (name, line) in enumerate(series):
        path = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in line)
        inside += Markup('<polyline class="line s{}" points="{}"><title>{}</title></polyline>').format(i, path, name)
        if dots:
            inside += Markup("").join(
                Markup('<circle class="dot s{}" cx="{:.1f}" cy="{:.1f}" r="3"><title>{:g}: {:.3g}</title></circle>').format(i, x_at(x), y_at(y), x, y)
                for x, y in line
            )
    if cursor:
        inside += Markup('<line class="mark cursor" x1="0" x2="0" y1="{}" y2="{}" data-from="{:.2f}" data-to="{:.2f}" data-low="{}" data-high="{}"/>').format(
            TOP, HEIGHT - BOTTOM, x_at(low), x_at(high), low, high
        )
    levels = [10.0**k for k in range(0, 12) if 10.0**k <= max(peak, 10)] if log else _levels(peak)
    return _frame(inside, [(x_at(x), text) for x, text in x_ticks], levels, y_at, label)


def heat(cells: Sequence[Sequence[int]]) -> Markup:
    """A square map of counts; opacity is relative to the fullest cell."""
    top = max([c for row in cells for c in row] + [1])
    size = 10
    rects = Markup("").join(
        Markup('<rect class="heat" x="{}" y="{}" width="{}" height="{}" fill-opacity="{:.2f}"/>').format(x * size, y * size, size, size, count / top)
        for y, row in enumerate(cells)
        for x, count in enumerate(row)
        if count
    )
    side = len(cells) * size
    return Markup('<svg class="chart square" viewBox="0 0 {0} {0}" role="img" aria-label="where box centres lie">{1}<rect class="frame" x="0" y="0" width="{0}" height="{0}"/></svg>').format(side, rects)


def _levels(top: float) -> list[float]:
    """Two to five round values from 0 up to the top."""
    raw = top / 3
    magnitude = 10.0 ** math.floor(math.log10(raw)) if raw > 0 else 1.0
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw)
    if top >= 3:
        step = max(step, 1.0)
    return [i * step for i in range(int(top / step + 1e-9) + 1)]


def _frame(inside: Markup, x_ticks: Sequence[Tick], levels: Sequence[float], y_at: Callable[[float], float], label: str) -> Markup:
    grid = Markup("")
    for level in levels:
        y = y_at(level)
        text = compact(level) if level >= 10 or level == int(level) else f"{level:g}"
        grid += Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text class="y" x="{}" y="{:.1f}">{}</text>').format(
            LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, text
        )
    ticks: Any = Markup("").join(
        Markup('<text class="x" x="{:.1f}" y="{}">{}</text>').format(x, HEIGHT - BOTTOM + 15, text) for x, text in x_ticks
    )
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}{}<text class="label" x="{:.0f}" y="{}">{}</text></svg>').format(
        WIDTH, HEIGHT, label, grid, inside, ticks, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 3, label
    )
