"""The plots show the figures of the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from experiments.selftraining.plots import plots, save_plots

RARE = 1  # the second curve


def point(threshold: float, rare: float | None) -> dict[str, Any]:
    return {"threshold": threshold, "web_pairs": 8000, "common": 50.0, "rare": rare, "unseen": 1.0}


def length(samples: int, upper: float | None) -> dict[str, Any]:
    bound = None if upper is None else {"rare": upper}
    return {"samples_seen": samples, "teacher": {"rare": 17.0}, "student": {"rare": 20.0}, "upper_bound": bound}


RESULT = {
    "by_threshold": {
        "points": [point(0.3, 21.0), point(0.5, None), point(0.7, 19.0)],
        "teacher": {"common": 51.0, "rare": 18.0, "unseen": 0.5},
    },
    "by_web_pairs": {"points": [point(0.5, 21.0)], "teacher": None},
    "by_steps": [length(4800, None), length(9600, 30.0)],
}


def test_curves_hold_the_values_of_the_result() -> None:
    figures = dict(plots(RESULT))
    assert list(figures) == ["threshold", "steps"]  # one point makes no curve
    axes = figures["threshold"].axes[0]
    drawn = [list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in axes.lines]
    assert drawn[RARE] == [(0, 21.0), (2, 19.0)]  # a gap where nothing is known
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.3", "0.5", "0.7"]
    assert [text.get_text() for text in axes.texts] == ["common", "rare", "unseen"]
    dashed = [segments.get_segments()[0].tolist() for segments in axes.collections]
    assert dashed[RARE] == [[0, 18.0], [2, 18.0]]
    upper = figures["steps"].axes[0].lines[2]
    assert (list(upper.get_xdata()), list(upper.get_ydata())) == ([1], [30.0])


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        save_plots(RESULT, tmp_path / folder)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["selftrain_steps.svg", "selftrain_threshold.svg"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        assert ElementTree.parse(tmp_path / "one" / name).getroot().tag.endswith("svg")
