"""A run with everything in it, and what the queries of the docs look for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def run(make_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    odd = tmp_path_factory.mktemp("it's [odd] *run?")
    run = make_run(odd, part_size=30).fill(120)
    add_what_queries_look_for(run)
    run.audit()
    return run


def add_what_queries_look_for(run: Any) -> None:
    """A part more: one image under two captions; two phrases on one thing, one of them on the whole image, too."""
    pair, *_ = (row for row in run.rows["pairs"] if row["image"])
    corners = [(0.0, 0.0, 320.0, 240.0), (20.0, 20.0, 90.0, 90.0), (20.0, 20.0, 91.0, 90.0)]
    for row, chosen in ((0, ((0, 0), (0, 1), (1, 2))), (1, ((1, 1),))):
        key = f"{90 + row:07d}00000"
        caption = f"a red ball and the good old days, {row}"
        spans = [(0, 10, "ball", "red ball"), (15, 32, "days", "good old days")]
        phrases = [{"start": s, "end": e, "text": caption[s:e], "head": h, "norm": n} for s, e, h, n in spans]
        boxes = [{"phrase": p, **dict(zip(("x1", "y1", "x2", "y2"), corners[c])), "score": 0.75} for p, c in chosen]
        labels = {"key": key, "width": 320, "height": 240, "boxes": boxes, "dropped": []}
        samples = {"pairs": {**pair, "key": key, "caption": caption}, "labels": labels, "pseudo": labels}
        samples["phrases"] = {"key": key, "caption": caption, "phrases": phrases, "dropped": []}
        for dataset, sample in samples.items():
            run.write(dataset, 90 + row, [sample])
