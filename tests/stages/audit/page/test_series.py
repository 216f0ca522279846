"""From figures to bars, lines and ticks."""

from __future__ import annotations

from typing import Any

from stages.audit.page import series


def test_bars_of_counts_end_with_all_that_is_more() -> None:
    counts = [5, 4, 3, 2, 1, 1, 1]
    shown, ticks, names = series.count_bars(counts, most=4)
    assert shown == [5, 4, 3, 2, 3] and names == ["0", "1", "2", "3", "4 or more"]
    assert ticks[-1] == (4.5, "4+")
    shown, _, names = series.count_bars([7, 3, 0, 0], most=4)
    assert shown == [7, 3] and names == ["0", "1"]  # nothing lies beyond


def test_bars_of_scores_begin_at_the_floor() -> None:
    counts = list(range(100))  # of bins of 0.01
    stats: dict[str, Any] = {"histograms": {"score_labelled": counts}, "score_floor": 0.1, "min_score": 0.5}
    bars, ticks, names = series.score_bars(stats)
    assert len(bars) == len(names) == 45 and bars[0] == 10 + 11 and sum(bars) == sum(counts[10:])
    assert names[0] == "0.1 to 0.12" and names[-1] == "0.98 to 1"
    assert ticks[0] == (0.0, "0.1") and series.score_mark(stats) == 20.0  # 0.5 is 20 bins of 0.02 above 0.1


def test_lines_leave_out_what_is_not_known() -> None:
    rows = [{"threshold": t, "precision": p, "recall": r} for t, p, r in ((0.1, 0.5, 1.0), (1.0, None, 0.0))]
    calibration = [{"above": 0.2, "up_to": 0.4, "precision": 0.25}]
    stats = {"gold": {"by_threshold": rows, "calibration": calibration}}
    assert series.agreement_lines(stats) == [("precision", [(0.1, 0.5)]), ("recall", [(0.1, 1.0), (1.0, 0.0)])]
    ((middle, precision),) = series.calibration(stats)
    assert (round(middle, 9), precision) == (0.3, 0.25)


def test_ranks_are_ticked_by_powers_of_ten() -> None:
    stats = {"rank_frequency": {"boxes": [[1, 90], [1200, 1]], "seen": []}}
    lines = series.ranked(stats)
    assert lines == [("kept boxes", [[1, 90], [1200, 1]])]
    assert series.rank_ticks(lines) == [(1, "1"), (10, "10"), (100, "100"), (1000, "1,000")]
