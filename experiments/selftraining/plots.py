"""The plots of a result: AP by threshold, by the number of web pairs, and by the length of the training, as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIERS = {"common": "#1b7f79", "rare": "#c2410c", "unseen": "#6d4fc2"}
ROLES = {"teacher": "#666666", "student": "#c2410c", "upper_bound": "#1d4ed8"}
STYLE = {
    "svg.hashsalt": "selftraining",  # the same figures give the same bytes
    "svg.fonttype": "none",  # text stays text
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#dddddd",
}


@dataclass(frozen=True)
class Curve:
    """AP in percent, one value for each tick; None leaves a gap. `level` is drawn as a dashed line."""

    label: str
    colour: str
    values: Sequence[float | None]
    level: float | None = None


def save_plots(result: Mapping[str, Any], folder: Path) -> None:
    """Writes `selftrain_NAME.svg` for each curve of the result that has two points or more."""
    from matplotlib import rc_context

    folder.mkdir(parents=True, exist_ok=True)
    with rc_context(STYLE):
        for name, figure in plots(result):
            figure.savefig(folder / f"selftrain_{name}.svg", metadata={"Date": None})


def plots(result: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    """The name and the plot of each curve that has two points or more; dashed: the teacher of its students."""
    for name, title, below in (
        ("threshold", "Student AP by the score above which pseudo labels are kept", "score threshold"),
        ("web_pairs", "Student AP by the number of web pairs", "web pairs"),
    ):
        points, level = result[f"by_{name}"]["points"], result[f"by_{name}"]["teacher"] or {}
        curves = [Curve(tier, TIERS[tier], [point[tier] for point in points], level.get(tier)) for tier in TIERS]
        if len(points) > 1:
            yield name, line_plot(title, below, [f"{point[name]:,}" for point in points], curves)
    lengths = result["by_steps"]
    curves = [
        Curve(role.replace("_", " "), colour, [length[role] and length[role]["rare"] for length in lengths])
        for role, colour in ROLES.items()
    ]
    if len(lengths) > 1:
        ticks = [f"{length['samples_seen']:,}" for length in lengths]
        yield "steps", line_plot("AP of rare nouns by the length of the training", "samples seen", ticks, curves)


def line_plot(title: str, below: str, ticks: Sequence[str], curves: Sequence[Curve]) -> Figure:
    """AP over `ticks`, which are equally far apart; each curve is named at its right end."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.8, 3.5), layout="constrained")
    axes = figure.subplots()
    for curve in curves:
        known = [(i, value) for i, value in enumerate(curve.values) if value is not None]
        if known:
            axes.plot(*zip(*known, strict=True), marker="o", markersize=4, color=curve.colour, label=curve.label)
            axes.annotate(curve.label, known[-1], (8, 0), textcoords="offset points", va="center", color=curve.colour)
        if curve.level is not None:
            axes.hlines(curve.level, 0, len(ticks) - 1, color=curve.colour, linestyle="--", linewidth=1)
    axes.set(title=title, xlabel=below, ylabel="AP", xticks=range(len(ticks)), xticklabels=ticks)
    axes.set_xlim(-0.3, len(ticks) - 0.4)
    axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
    return figure
