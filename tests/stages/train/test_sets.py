"""Gold sets that need no annotation file: scenes, and the gold of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from stages.synthetic import draw_scene
from stages.train import sets
from stages.train.sets import RunGoldSet
from stages.train.wording import singular
from tests.stages.conftest import Run
from tests.stages.train.conftest import RunFolder


def test_gold_without_categories_is_no_set_for_detection_prompts(run: Run) -> None:
    """GRIT and ODVG captions have boxes of phrases alone; what they show is said by the phrases' last words."""
    run.ingest(source="scenes", count=3, seed=4)
    gold = RunGoldSet(RunFolder(run.root))
    nameless = [replace(row, boxes=tuple(replace(box, category="") for box in row.boxes)) for _, row in gold.rows]
    gold.rows = [(pair, row) for (pair, _), row in zip(gold.rows, nameless, strict=True)]
    assert gold.vocabulary() == []
    for index in range(3):
        scene = draw_scene("web", 4, index)
        phrases = [scene.caption[slice(*scene.spans[box.span])] for box in scene.boxes]
        assert gold.names(index) == {singular(phrase.split()[-1].lower()) for phrase in phrases}


@pytest.mark.parametrize("count", [1, 2, 40])
def test_scenes_have_captions_near_that_are_those_of_other_scenes(count: int) -> None:
    scenes = sets.SceneSet("gold", 3, count)
    captions = [draw_scene("gold", 3, index).caption for index in range(count)]
    for index in range(0, count, 13):
        near: Sequence[str] = scenes.captions_near(index)
        assert near and set(near) <= set(captions)
        assert count < 40 or captions[index] not in near
