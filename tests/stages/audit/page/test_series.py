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


def test_cosines_are_ticked_at_round_numbers() -> None:
    def rows(*thresholds: float) -> list[dict[str, Any]]:
        return [{"threshold": threshold} for threshold in thresholds]

    assert [text for _, text in series.cosine_ticks(rows(-0.13, 0.3, 0.42))] == [
        "-0.1",
        "0",
        "0.1",
        "0.2",
        "0.3",
        "0.4",
    ]
    assert [text for _, text in series.cosine_ticks(rows(0.21, 0.25))] == ["0.22", "0.24"]
    assert series.cosine_ticks([]) == []


def test_the_rules_own_thresholds_are_marked_where_they_count() -> None:
    rows = [{"threshold": 0.1}, {"threshold": 0.3}]
    rules: dict[str, Any] = {"combine": "none", "min_region_score": 0.2, "min_image_score": 0.4}
    stats: dict[str, Any] = {"min_score": 0.5, "scores": {"rules": rules, "by_region": rows, "by_image": rows}}
    assert series.marks(stats, "min_region_score") == [("s1", 0.2)]
    assert series.marks(stats, "min_image_score") == [] == series.marks(stats, "min_score")  # beyond the chart; off
    rules |= {"combine": "geometric", "min_image_score": 0.2}
    assert series.marks(stats, "min_score") == [("s1", 0.5)]
    assert series.marks(stats, "min_image_score") == []  # it is about another score then


def test_teachers_are_compared_at_tenths_and_at_the_filters_threshold() -> None:
    rows = [{"threshold": step / 20} for step in range(20)]
    stats: dict[str, Any] = {"teachers": {"a": {"by_threshold": rows}}, "score_floor": 0.1, "min_score": 0.35}
    found = series.teacher_rows(stats, "a")
    assert [row["threshold"] for row in found] == [0.1, 0.2, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert [row["threshold"] for row in found if row["own"]] == [0.35]
