"""What the teacher needs of a part, and its answers as a table."""

from __future__ import annotations

import pyarrow as pa
import pytest
import torch

from model.outputs import Grounding
from schemas.records import LABELS, PAIRS, PHRASES
from stages.label.rows import Row, label_table, read_rows
from tests.stages.conftest import Run

IMAGE = {"uri": "images/part-0000000.tar", "offset": 512, "length": 99}


def pair(key: str, caption: str, **more: object) -> dict[str, object]:
    size = {"width": 40, "height": 30, "orientation": 1, "sha256": f"sha {key}"}
    return {"key": key, "source_id": f"id {key}", "caption": caption, "image": IMAGE, **size, **more}


def phrase(start: int, end: int) -> dict[str, object]:
    return {"start": start, "end": end, "text": "x", "head": "x", "norm": "x"}


def test_rows_are_those_of_phrases_with_the_pair_of_the_same_key(run: Run) -> None:
    io = run.io()
    pairs = [pair("000000000000", "a dog"), pair("000000000001", "rejected"), pair("000000000002", "", image=None)]
    io.write("pairs", pa.Table.from_pylist(pairs, schema=PAIRS))
    phrases = [
        {"key": "000000000000", "caption": "a dog", "phrases": [phrase(0, 1), phrase(2, 5)], "dropped": []},
        {"key": "000000000002", "caption": "", "phrases": [], "dropped": []},
    ]
    io.write("phrases", pa.Table.from_pylist(phrases, schema=PHRASES))
    first, last = read_rows(io)
    assert (first.key, first.source_id, first.caption) == ("000000000000", "id 000000000000", "a dog")
    assert first.spans == [[(0, 1)], [(2, 5)]] and first.size == (30, 40) and first.sha256 == "sha 000000000000"
    assert first.image is not None and (first.image.uri, first.image.offset) == (IMAGE["uri"], IMAGE["offset"])
    assert (last.key, last.spans, last.image) == ("000000000002", [], None)


def row(number: int) -> Row:
    return Row(f"{number:012d}", "", "", [], None, (30 + number, 40 + number), "")


def found(*boxes: tuple[int, float], dropped: tuple[tuple[int, str], ...] = ()) -> Grounding:
    """Boxes of (phrase, score), each at a place of its own."""
    corners = torch.arange(4.0 * len(boxes)).view(-1, 4)
    scores = torch.tensor([score for _, score in boxes])
    return Grounding(corners, scores, torch.tensor([phrase for phrase, _ in boxes]), list(dropped))


def test_boxes_are_sorted_by_phrase_and_falling_score_and_rows_by_number() -> None:
    results = {
        3: found((1, 0.5), (0, 0.25), (1, 0.75), (0, 0.25)),
        0: found(dropped=((1, "over_token_limit"),)),
        2: found((4, 1.0)),
    }
    table = label_table([row(number) for number in range(5)], results).table
    assert table.schema.equals(LABELS)
    rows = table.to_pylist()
    assert [(entry["key"], entry["width"], entry["height"]) for entry in rows] == [
        ("000000000000", 40, 30),
        ("000000000002", 42, 32),
        ("000000000003", 43, 33),
    ]
    assert [[(box["phrase"], box["score"]) for box in entry["boxes"]] for entry in rows] == [
        [],
        [(4, 1.0)],
        [(0, 0.25), (0, 0.25), (1, 0.75), (1, 0.5)],
    ]
    assert [box["x1"] for box in rows[2]["boxes"]] == [4.0, 12.0, 8.0, 0.0]  # equal scores keep their order
    assert [entry["dropped"] for entry in rows] == [[{"phrase": 1, "reason": "over_token_limit"}], [], []]


@pytest.mark.parametrize("rows", [[], [row(0)]])
def test_a_part_without_results_is_an_empty_table(rows: list[Row]) -> None:
    table = label_table(rows, {}).table
    assert table.num_rows == 0 and table.schema.equals(LABELS)
