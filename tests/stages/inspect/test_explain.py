"""The story of a pair, beside the rows that were written."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from schemas.reasons import ALL
from schemas.records import part_name
from schemas.rows import Span
from schemas.tables import PhraseTable
from stages.inspect.explain import Explained, explain
from stages.inspect.show import COLOURS, plain
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


def test_of_rows_with_several_captions_the_pair_is_counted(run: Any) -> None:
    """Such a part begins at row 66, which is not as many pairs; the source id has the row."""
    key = run.rows["pairs"][3]["key"]
    lines = story(run, key, Slice("data/pairs.tsv", 200, 240, extra={"row": 66, "last": 80})).lines
    assert lines[1] == f"source   data/pairs.tsv, pair {200 + int(key[7:])} (part {int(key[:7])})"
    assert lines[2].startswith(f"ingest   {run.rows['pairs'][3]['source_id']}: ")


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
    assert story(run, keys[1]).lines[-1] == (
        f"curate   set aside: near_duplicate, {ALL['near_duplicate']} of {keys[0]}"  # and nothing behind it
    )


def without(run: Any, key: str, *datasets: str) -> None:
    """Takes the row of a key out of these datasets."""
    for dataset in datasets:
        rows = [row for row in run.rows[dataset] if row["key"][:7] == key[:7] and row["key"] != key]
        run.write(dataset, int(key[:7]), rows)


def begin(lines: list[str]) -> list[str]:
    """The stages that say something, in their order."""
    return [line.split()[0] for line in lines if line[0] != " "]


def test_the_story_ends_where_the_pair_does(run: Any) -> None:
    key = next(row["key"] for row in run.rows["labels"] if row["boxes"] and int(row["key"][7:]) % 19 != 18)
    assert begin(story(run, key).lines[1:]) == ["source", "ingest", "phrases", "label", "filter", "shard"]
    without(run, key, "labels", "pseudo")
    reject = {"key": key, "source_id": "", "stage": "label", "reason": "image_changed", "detail": "in the store"}
    run.write("rejects/label", int(key[:7]), [reject])
    explained = story(run, key)
    assert begin(explained.lines[1:]) == ["source", "ingest", "phrases", "label"]
    assert explained.lines[-1] == f"label    rejected: image_changed, {ALL['image_changed']} (in the store)"
    assert explained.png is not None  # the image alone


def test_a_caption_alone_is_set_aside_by_the_teacher(run: Any) -> None:
    key = next(row["key"] for row in run.rows["pairs"] if row["image"] is None)
    without(run, key, "labels", "pseudo")
    lines = story(run, key).lines
    assert begin(lines[1:]) == ["source", "ingest", "phrases", "label", "image"]
    assert f"label    set aside: no_image, {ALL['no_image']}" in lines


def test_boxes_that_shards_leave_out_because_of_their_masks(shapes: Callable[..., Any]) -> None:
    """The mask of every fifth box is the left quarter of it: a gap of 3/4. Those of the others fill their boxes."""
    run = shapes(part_size=40, filter={"max_mask_box_gap": 0.5}).fill(130).mask()
    number = 0
    told: set[bool] = set()
    for pseudo in run.rows["pseudo"]:
        loose = [shown(box["score"]) for i, box in enumerate(pseudo["boxes"], number) if i % 5 == 4]
        number += len(pseudo["boxes"])
        if not loose or len(told) > 1:
            continue
        write_shard(run, f"shards/{pseudo['key'][:7]}-000.tar", ["000000000099"])
        lines = story(run, pseudo["key"]).lines
        out = [line.split()[0] for line in lines if f"mask_box_gap, {ALL['mask_box_gap']}" in line]
        assert sorted(out) == sorted(loose)
        assert f"filter   {len(pseudo['boxes'])} boxes kept, {len(pseudo['dropped'])} taken out" in lines
        assert sum(line.endswith("  kept") for line in lines) == len(pseudo["boxes"]) - len(loose)
        (shard,) = [line for line in lines if line.startswith("shard")]
        alone = len(loose) == len(pseudo["boxes"])
        assert ("set aside: no_boxes" in shard) is alone and ("run `phrasebox shard`" in shard) is not alone
        told.add(alone)
    assert number > 100 and told


def test_what_the_filter_made_of_a_box(shapes: Callable[..., Any]) -> None:
    """One went to another phrase, with a combined score; one is as the teacher gave it; one is gone."""
    run = shapes().fill(2, until="phrases", gold=False)  # its first row is a reject
    row = next(row for row in run.rows["phrases"] if len(row["phrases"]) > 1)
    place = {"x1": 50.0, "y1": 60.0, "x2": 250.0, "y2": 200.0}
    boxes = [{"phrase": 0, **place, "x1": 10.0 * i, "score": score} for i, score in enumerate((0.75, 0.625, 0.25))]
    labels = {"key": row["key"], "width": 320, "height": 240, "boxes": boxes, "dropped": []}
    run.write("labels", 0, [labels])
    gone = [{"box": 2, "reason": "low_combined_score"}]
    run.write("pseudo", 0, [{**labels, "boxes": [{**boxes[0], "phrase": 1, "score": 0.5}, boxes[1]], "dropped": gone}])
    lines = story(run, row["key"]).lines
    first, second = (phrase["text"] for phrase in row["phrases"][:2])
    assert f"         0.625  0: {first}  [10, 60, 250, 200]  kept" in lines
    moved = f"         0.500  1: {second}  [0, 60, 250, 200]  from the teacher 0.750 as {first!r}  kept"
    assert moved in lines
    assert any(f"{second!r} got no box" in line for line in lines)


def test_the_image_has_the_kept_boxes_and_those_that_are_left_out(shapes: Callable[..., Any]) -> None:
    run = shapes().fill(2, until="phrases", gold=False)
    row = next(row for row in run.rows["phrases"] if len(row["phrases"]) > 1)
    sides = ((20.0, 40.0, 120.0, 200.0), (160.0, 60.0, 300.0, 220.0))
    boxes = [
        {"phrase": i, **dict(zip(("x1", "y1", "x2", "y2"), own)), "score": 0.9 - i / 2} for i, own in enumerate(sides)
    ]
    labels = {"key": row["key"], "width": 320, "height": 240, "boxes": boxes, "dropped": []}
    run.write("labels", 0, [labels])
    run.write("pseudo", 0, [{**labels, "boxes": boxes[:1], "dropped": [{"box": 1, "reason": "low_score"}]}])
    png = story(run, row["key"]).png
    assert png is not None
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    scale = pixels.shape[1] / 320
    for number, (x1, y1, x2, y2) in enumerate(sides):
        colour = [int(COLOURS[number][i : i + 2], 16) for i in (1, 3, 5)]
        for x in (x1 * scale + 1, x2 * scale - 3):
            assert (pixels[round((y1 + y2) / 2 * scale), round(x)] == colour).all()


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


def test_what_others_say_of_the_boxes(shapes: Callable[..., Any]) -> None:
    """A second teacher, the cosines of rescore, and referring expressions."""
    two = {"teachers": ["glip-nano", {"name": "small", "teacher": "glip-nano"}]}
    run = shapes(part_size=40, label=two).fill(30)
    labels = run.rows["labels"]
    first = next(row for row in labels if row["boxes"])
    box = {**first["boxes"][0], "score": 0.75}
    last = len(row(run, "phrases", first["key"])["phrases"]) - 1
    unasked = [{"phrase": last, "reason": "phrase_over_token_limit"}]
    small = [
        {**row, "boxes": [box] if row is first else [], "dropped": unasked if row is first else []} for row in labels
    ]
    run.write("labels-small", 0, small)
    nothing = {"score": None, "best_phrase": None, "best_score": None}
    scores = [{"key": row["key"], "image": 0.25, "boxes": [dict(nothing) for _ in row["boxes"]]} for row in labels]
    next(row for row in scores if row["key"] == first["key"])["boxes"][0]["score"] = 0.125
    run.write("scores", 0, scores)
    path = run.root / "phrases" / part_name(0)
    table = PhraseTable(pq.read_table(path))
    captions = table.caption.to_pylist()
    whole = [[Span(p.start, len(text)) for p in row.phrases] for row, text in zip(table.records(), captions)]
    pq.write_table(table.with_expressions(whole).table, path)
    text = "\n".join(story(run, first["key"]).lines)
    phrase = row(run, "phrases", first["key"])["phrases"][box["phrase"]]
    corners = ", ".join(f"{round(box[side], 1):g}" for side in ("x1", "y1", "x2", "y2"))
    assert "label    small, another teacher, has 1 boxes" in text
    assert f"0.750  {box['phrase']}: {phrase['text']}  [{corners}]\n" in text
    assert text.count(f"was not asked for: phrase_over_token_limit, {ALL['phrase_over_token_limit']}") == 1
    assert "rescore  cosine of image and caption 0.250" in text and text.count("  crop 0.125  ") == 1
    grown = row(run, "pairs", first["key"])["caption"][phrase["start"] :]
    assert grown == phrase["text"] or f"grown to {plain(grown)!r}" in text
