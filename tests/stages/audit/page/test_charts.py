"""Charts from numbers to markup."""

from __future__ import annotations

from stages.audit.page import charts


def test_a_band_is_an_area_between_its_edges() -> None:
    chart = charts.lines([("p", [(0.0, 0.5), (1.0, 1.0)])], [], "x", top=1.0, band=[(0.0, 0.0, 1.0), (1.0, 1.0, 1.0)])
    left, right, floor, top = charts.LEFT, charts.LEFT + charts.ACROSS, charts.FLOOR, charts.TOP
    assert f'points="{left:.1f},{floor:.1f} {right:.1f},{top:.1f} {right:.1f},{top:.1f} {left:.1f},{top:.1f}"' in chart
    assert "polygon" not in charts.lines([("p", [(0.0, 0.5)])], [], "x")


def test_axes_have_round_levels_up_to_the_top() -> None:
    assert charts._levels(88) == [0, 25, 50, 75]
    assert charts._levels(1.0) == [0, 0.25, 0.5, 0.75, 1.0]
    assert charts._levels(3) == [0, 1, 2, 3]
    for top in (2, 5, 7, 14_756, 246_000, 78_100_000):
        levels = charts._levels(top)
        assert 3 <= len(levels) <= 5 and 0.55 * top < levels[-1] <= top
        assert all(level == int(level) for level in levels)
    flat = charts.lines([("nothing", [(0.1, 0), (1.0, 0)])], [(0.5, "0.5")], "score above", cursor=True)
    assert "e-" not in flat


def test_a_scatter_shows_single_points_and_leaves_empty_cells_out() -> None:
    drawn = charts.scatter([[0, 10_000], [1, 0]], [(0.0, "0"), (2.0, "1")], [(0.0, "0.5"), (2.0, "<0")], "score")
    assert drawn.count('class="heat"') == 2 and 'fill-opacity="1.00"' in drawn and 'fill-opacity="0.12"' in drawn
    assert "<title>10,000</title>" in drawn and "&lt;0" in drawn and ">score</text>" in drawn
    assert charts.scatter([], [], [], "score").count('class="heat"') == 0
