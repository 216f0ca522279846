"""Several teachers in the report, compared again phrase by phrase."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from tests.stages.audit.audited import asked_phrases, box_iou, norms, stats_of, stored

KINDS = ("same_place", "elsewhere", "first_alone", "other_alone", "neither")


def add_teacher(run: Any, name: str = "other", seed: int = 2) -> None:
    """Some of the first one's boxes, a little aside and with another score, and some of its own. It lacks some rows,
    and in every tenth one it cannot read the first phrase."""
    draw = random.Random(seed)
    counts = {row["key"]: len(row["phrases"]) for row in run.rows["phrases"]}
    for part in run.all_parts().parts():
        rows = [row for row in run.rows["labels"] if int(row["key"][:7]) == part]
        made = []
        for number, row in ((number, row) for number, row in enumerate(rows) if number % 8):
            boxes = []
            for box in row["boxes"]:
                aside = draw.choice((0.0, 3.0, 60.0))
                moved = {side: box[side] + aside for side in ("x1", "x2")}
                if draw.random() < 0.7:
                    boxes.append({**box, **moved, "score": draw.uniform(0.1, 0.95)})
            if counts[row["key"]]:
                phrase = draw.randrange(counts[row["key"]])
                boxes.append(
                    {"phrase": phrase, "x1": 1.0, "y1": 1.0, "x2": 9.0, "y2": 9.0, "score": draw.uniform(0.1, 0.9)}
                )
            dropped = (
                [{"phrase": 0, "reason": "phrase_over_token_limit"}] if not number % 10 and counts[row["key"]] else []
            )
            asked = [box for box in boxes if not dropped or box["phrase"]]
            made.append({**row, "boxes": asked, "dropped": dropped})
        run.write(f"labels-{name}", part, made)


def asked_of_both(run: Any, name: str = "other") -> list[tuple[str, int]]:
    """(key, number) of every phrase that both teachers were asked for."""
    rows = stored(run, f"labels-{name}")
    dropped = {(row["key"], entry["phrase"]) for row in rows for entry in row["dropped"]}
    keys = {row["key"] for row in rows}
    assert dropped & set(asked_phrases(run))
    return [phrase for phrase in asked_phrases(run) if phrase[0] in keys and phrase not in dropped]


def best_of(run: Any, dataset: str) -> dict[tuple[str, int], dict[str, Any]]:
    """The best box of each phrase."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for row in stored(run, dataset):
        for box in row["boxes"]:
            phrase = (row["key"], box["phrase"])
            if phrase not in found or box["score"] > found[phrase]["score"]:
                found[phrase] = box
    return found


def kind_of(mine: dict[str, Any] | None, theirs: dict[str, Any] | None, threshold: float) -> str:
    mine = mine if mine is not None and mine["score"] > threshold else None
    theirs = theirs if theirs is not None and theirs["score"] > threshold else None
    if mine and theirs:
        return "same_place" if box_iou(mine, theirs) >= 0.5 else "elsewhere"
    return "first_alone" if mine else "other_alone" if theirs else "neither"


def test_teachers_are_compared_phrase_by_phrase(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40, seed=5).fill(130)
    add_teacher(run)
    run.audit()
    found = stats_of(run)["teachers"]["other"]
    phrases = asked_of_both(run)
    first, other = best_of(run, "labels"), best_of(run, "labels-other")
    assert found["phrases"] == len(phrases) > 100
    assert found["boxes"] == sum(len(row["boxes"]) for row in stored(run, "labels-other"))
    assert len(found["by_threshold"]) == 20
    for row in found["by_threshold"]:
        kinds = [kind_of(first.get(phrase), other.get(phrase), row["threshold"]) for phrase in phrases]
        assert {kind: row[kind] for kind in KINDS} == {kind: kinds.count(kind) for kind in KINDS}
    assert min(max(row[kind] for row in found["by_threshold"]) for kind in KINDS) > 0


def recounted(run: Any, name: str, threshold: float) -> dict[str, dict[str, int]]:
    """By norm, in the columns of the tables."""
    first, other = best_of(run, "labels"), best_of(run, f"labels-{name}")
    norm = norms(run)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for phrase in asked_of_both(run, name):
        kind = kind_of(first.get(phrase), other.get(phrase), threshold)
        counts = {
            "asked": True,
            "first": kind in ("same_place", "elsewhere", "first_alone"),
            "other": kind in ("same_place", "elsewhere", "other_alone"),
            "both": kind in ("same_place", "elsewhere"),
            "same_place": kind == "same_place",
        }
        found[norm[phrase[0]][phrase[1]]].update({column: int(holds) for column, holds in counts.items()})
    return {phrase: dict(counts) for phrase, counts in found.items()}


@pytest.mark.parametrize("threshold", [0.35, 0.6])
def test_each_phrase_is_listed_with_what_each_teacher_found(shapes: Callable[..., Any], threshold: float) -> None:
    run = shapes(part_size=40, seed=5, filter={"min_score": threshold}).fill(400)
    add_teacher(run)
    run.audit()
    found = stats_of(run)["teachers"]["other"]
    expected = recounted(run, "other", threshold)
    tables = found["by_phrase"]
    assert tables["threshold"] == threshold and len(expected) > 20
    findings = {phrase: own["first"] + own["other"] - own["both"] for phrase, own in expected.items()}
    for row in (*tables["most_asked"], *tables["least_agreed"]):
        shared = expected[row["phrase"]]["same_place"] / findings[row["phrase"]] if findings[row["phrase"]] else None
        assert row == {"phrase": row["phrase"], **expected[row["phrase"]], "agreement": shared}
    most = sorted(expected, key=lambda phrase: (-expected[phrase]["asked"], phrase))[:40]
    assert [row["phrase"] for row in tables["most_asked"]] == most
    often = [phrase for phrase in expected if findings[phrase] >= 20]
    least = sorted(often, key=lambda phrase: (expected[phrase]["same_place"] / findings[phrase], phrase))
    assert [row["phrase"] for row in tables["least_agreed"]] == least and len(least) > 4
    (row,) = (row for row in found["by_threshold"] if row["threshold"] == threshold)
    assert sum(own["same_place"] for own in expected.values()) == row["same_place"]
    assert sum(own["asked"] for own in expected.values()) == found["phrases"]


def test_teachers_are_compared_in_bounded_memory(shapes: Callable[..., Any]) -> None:
    """Beyond `exact_phrases`, what is listed of the even sample is exact still."""
    run = shapes(part_size=40, seed=5, audit={"exact_phrases": 12}).fill(400)
    add_teacher(run)
    run.audit()
    expected = recounted(run, "other", 0.5)
    listed = stats_of(run)["teachers"]["other"]["by_phrase"]["most_asked"]
    assert 12 <= len(listed) < len(expected)
    exact = [row for row in listed if row["asked"] == expected[row["phrase"]]["asked"]]
    assert len(exact) >= 12
    for row in exact:
        assert {name: row[name] for name in expected[row["phrase"]]} == expected[row["phrase"]]


def test_the_page_has_a_table_of_each_and_a_gallery_of_contradictions(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40, seed=5, filter={"min_score": 0.35}).fill(90)
    add_teacher(run)
    add_teacher(run, "third", seed=9)
    run.audit()
    page = (run.root / "report" / "index.html").read_text("utf-8")
    section = page[page.index('<section id="teachers">') :].partition("</section>")[0]
    tables = section.split("<table")[1:]
    assert len(tables) == 6 and "<b>third</b>" in section and section.count('<tr class="own">') == 2
    assert '<tr class="own"><td class="n">0.35</td>' in section and '"teachers_disagree":0' in page
    for row in stats_of(run)["teachers"]["third"]["by_phrase"]["most_asked"]:
        shared = "–" if row["agreement"] is None else f"{row['agreement']:.1%}"
        cells = "".join(f'<td class="n">{cell}</td>' for cell in (row["asked"], row["first"], row["other"]))
        cells += f'<td class="n">{row["same_place"]}</td><td class="n">{shared}</td>'
        assert f"{row['phrase']}</button></td>{cells}" in tables[4]
    assert "labels-other" not in stats_of(run).get("side_tables", {})
    alone = shapes(part_size=40, seed=5).fill(60)
    alone.audit()
    assert "teachers" not in stats_of(alone)
    assert 'id="teachers"' not in (alone.root / "report" / "index.html").read_text("utf-8")
