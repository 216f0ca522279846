"""The story of a pair, beside the rows that were written."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from schemas.reasons import ALL
from stages.inspect.explain import Explained, explain
from stages.stage import Slice, UserError
from tests.stages.audit.test_second_opinion import add_scores

PIECE = Slice("data/pairs.tsv", 200, 240)
STAGES = ("ingest", "label", "filter")


@pytest.fixture
def run(shapes: Callable[..., Any]) -> Any:
    return shapes(part_size=40).fill(80)


def story(run: Any, key: str, piece: Slice | None = PIECE) -> Explained:
    return explain(run.all_parts(), run.config, key, piece, STAGES)


def row(run: Any, dataset: str, key: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in run.rows[dataset] if row["key"] == key)
    return found


def shown(score: float) -> str:
    """Samples hold scores to four digits, and three are printed."""
    return f"{round(score, 4):.3f}"


def write_shard(run: Any, path: str, keys: list[str]) -> None:
    target: Path = run.root / path
    target.parent.mkdir(exist_ok=True)
    with tarfile.open(target, "w") as tar:
        for key in keys:
            data = json.dumps({"key": key}).encode()
            member = tarfile.TarInfo(f"shapes-{key}.json")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def test_every_phrase_and_box_has_its_reason(run: Any) -> None:
    key = next(
        label["key"]
        for label, pseudo in zip(run.rows["labels"], run.rows["pseudo"], strict=True)
        if pseudo["dropped"] and pseudo["boxes"] and label["dropped"]
    )
    write_shard(run, f"shards/{key[:7]}-000.tar", ["000000000099"])
    write_shard(run, f"shards/{key[:7]}-001.tar", [key])
    explained = story(run, key)
    text = "\n".join(explained.lines)
    pair, phrases, labels, pseudo = (row(run, name, key) for name in ("pairs", "phrases", "labels", "pseudo"))
    assert f"data/pairs.tsv, row {200 + int(key[7:])}" in text and pair["source_id"] in text
    assert f"shard    shards/{key[:7]}-001.tar, as shapes-{key}" in text
    for phrase in phrases["phrases"]:
        assert f"{phrase['text']!r} [{phrase['start']}, {phrase['end']})" in text
    for entry in labels["dropped"]:
        assert f"was not asked for: {entry['reason']}, {ALL[entry['reason']]}" in text
    lines = [line for line in explained.lines if line.endswith("kept") or ALL["low_score"] in line]
    expected = [shown(box["score"]) for box in pseudo["boxes"]]
    assert sorted(line.split()[0] for line in lines if line.endswith("kept")) == sorted(expected)
    gone = [labels["boxes"][entry["box"]]["score"] for entry in pseudo["dropped"]]
    assert sorted(line.split()[0] for line in lines if "low_score" in line) == sorted(map(shown, gone))
    assert explained.png is not None
    with Image.open(io.BytesIO(explained.png)) as image:
        assert min(image.size) >= 240


def test_a_rejected_row_says_where_and_why(run: Any) -> None:
    reject = run.rows["rejects/ingest"][0]
    explained = story(run, reject["key"])
    assert explained.png is None
    assert explained.lines[-1] == f"ingest   rejected: {reject['reason']}, {ALL[reject['reason']]}"


def test_what_is_left_out_on_the_way(run: Any) -> None:
    """Another language; an image that is not there; a pair without boxes; nothing made yet."""
    foreign = next(r["key"] for r in run.rows["phrases"] if r["dropped"])
    assert any("not_english" in line for line in story(run, foreign).lines)
    captionless = next(r["key"] for r in run.rows["pairs"] if r["image"] is None)
    explained = story(run, captionless, None)
    assert explained.png is None and explained.lines[-1].startswith("image    none: no_image")
    empty = next(r["key"] for r in run.rows["pseudo"] if not r["boxes"])
    write_shard(run, f"shards/{empty[:7]}-000.tar", ["000000000099"])
    assert any(line.startswith("shard    set aside: no_boxes") for line in story(run, empty).lines)


def test_stages_that_have_not_run_are_named(shapes: Callable[..., Any]) -> None:
    run = shapes().fill(3, until="pairs", gold=False)
    lines = story(run, run.rows["pairs"][0]["key"]).lines
    assert [line for line in lines if "not made yet" in line] == [
        *(f"{stage:8} not made yet" for stage in ("phrases", "label", "filter")),
        "shard    not made yet, or no pair of this part has a box",
    ]


def test_curation_says_what_it_set_aside(run: Any) -> None:
    keys = [r["key"] for r in run.rows["pairs"] if r["key"].startswith("0000000")]
    nothing = {"reason": None, "duplicate_of": None, "cluster": None, "similarity": None}
    rows = [{"key": key, "keep": True, **nothing} for key in keys]
    rows[1] |= {"keep": False, "reason": "near_duplicate", "duplicate_of": keys[0]}
    run.write("curation", 0, rows)
    assert "curate   kept" in story(run, keys[0]).lines
    assert any(f"near_duplicate, {ALL['near_duplicate']} of {keys[0]}" in line for line in story(run, keys[1]).lines)


def test_what_rescore_and_mask_say(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40).fill(40).mask()
    add_scores(run)
    seen = {row["key"]: row for row in run.rows["scores"]}
    key = next(r["key"] for r in run.rows["pseudo"] if len(r["boxes"]) > 1 and r["dropped"] and r["key"] in seen)
    lines, own = story(run, key).lines, seen[key]
    scored = [score for score in own["boxes"] if score]
    (line,) = (line for line in lines if line.startswith("rescore"))
    assert f"image and caption {own['image']:.3f}; {len(scored)} crops scored" in line
    labels, texts = row(run, "labels", key), [p["text"] for p in row(run, "phrases", key)["phrases"]]
    expected = []
    for box, score in zip(labels["boxes"], own["boxes"], strict=True):
        if score:
            same = score["best_phrase"] == box["phrase"]
            better = "" if same else f", as {texts[score['best_phrase']]!r} {score['best_score']:.3f}"
            expected.append(f"crop {score['best_score' if same else 'score']:.3f}{better}")
    found = [line.partition("]  crop ")[2].rpartition("  ")[0] for line in lines if "]  crop " in line]
    assert sorted(f"crop {text}" for text in found) == sorted(expected) != []
    assert f"mask     {len(row(run, 'masks', key)['masks'])} boxes cut out" in lines


@pytest.mark.parametrize("key", ["12", "00000000000x", "000000999999", "999999900000"])
def test_a_key_that_the_run_never_had(run: Any, key: str) -> None:
    with pytest.raises(UserError, match="explain:"):
        story(run, key)
