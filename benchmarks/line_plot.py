"""A line plot as SVG, for pages that are read where nothing runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 340, 56, 96, 44, 48
TOPS = (5, 10, 20, 30, 40, 50, 60, 80, 100)


@dataclass(frozen=True)
class Curve:
    """`values`: AP in percent, one for each tick; None leaves a gap. `level` is drawn as a dashed line."""

    label: str
    colour: str
    values: Sequence[float | None]
    level: float | None = None


def line_plot(title: str, below: str, ticks: Sequence[str], curves: Sequence[Curve]) -> str:
    """AP over `ticks`, which stand equally far apart and are named `below`."""
    drawn = [value for curve in curves for value in (*curve.values, curve.level) if value is not None]
    top = next(step for step in TOPS if step >= max(drawn, default=0))

    def across(i: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (i + 0.5) / len(ticks)

    def up(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        text(LEFT, 22, title, size=14),
        *(grid_line(top * i / 5, up) for i in range(6)),
        *(text(across(i), HEIGHT - 26, tick, anchor="middle") for i, tick in enumerate(ticks)),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, below, "middle"),
        text(LEFT - 40, TOP - 10, "AP"),
    ]
    for curve in curves:
        parts += curve_parts(curve, across, up)
    return "\n".join([*parts, "</svg>"]) + "\n"


def grid_line(value: float, up: Callable[[float], float]) -> str:
    y = up(value)
    line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
    return line + text(LEFT - 8, y + 4, f"{value:g}", anchor="end")


def curve_parts(curve: Curve, across: Callable[[int], float], up: Callable[[float], float]) -> list[str]:
    known = [(across(i), up(value)) for i, value in enumerate(curve.values) if value is not None]
    parts = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{curve.colour}"/>' for x, y in known]
    if known:
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in known)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{curve.colour}" stroke-width="2"/>')
        parts.append(text(WIDTH - RIGHT + 8, known[-1][1] + 4, curve.label, colour=curve.colour))
    if curve.level is not None:
        y = f"{up(curve.level):.1f}"
        ends = f'x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"'
        parts.append(f'<line {ends} stroke="{curve.colour}" stroke-dasharray="4 4"/>')
    return parts


def text(x: float, y: float, words: str, anchor: str = "start", size: int = 12, colour: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{words}</text>'
