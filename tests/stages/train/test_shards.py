"""Shards are read as webdataset reads them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import webdataset

from schemas.config import GoldSet
from stages.stage import UserError
from stages.train import shards
from stages.train.gold import open_gold
from stages.train.shards import ShardSet
from stages.train.wording import singular
from tests.stages.train.conftest import RunDisk


def test_shards_are_read_as_webdataset_reads_them(sharded: Path) -> None:
    ours = ShardSet(RunDisk(sharded))
    urls = [str(path) for path in sorted((sharded / "shards").glob("*.tar"))]
    theirs = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert len(ours) == len(theirs) == 16
    for index, expected in enumerate(theirs):
        sample, record = ours.sample(index), json.loads(expected["json"])
        assert sample.image == expected["jpg"] and sample.caption == record["caption"] and sample.pseudo
        assert sample.boxes.tolist() == [box["bbox"] for box in record["boxes"]]
        assert ours.shape(index) == (record["height"], record["width"])


def test_boxes_under_the_load_threshold_are_left_out_with_their_phrases(sharded: Path) -> None:
    everything, strict = ShardSet(RunDisk(sharded)), ShardSet(RunDisk(sharded), min_score=0.65)
    for index in range(len(everything)):
        whole, kept = everything.sample(index), strict.sample(index)
        mask = whole.scores >= 0.65
        np.testing.assert_array_equal(kept.boxes, whole.boxes[mask])
        np.testing.assert_array_equal(kept.phrase, whole.phrase[mask])


def test_shards_say_what_they_show_by_the_nouns_of_phrases_with_boxes(sharded: Path) -> None:
    for min_score in (0.0, 0.65):
        shards = ShardSet(RunDisk(sharded), min_score=min_score)
        for index in range(len(shards)):
            sample = shards.sample(index)
            texts = [sample.caption[start:end] for i in set(sample.phrase.tolist()) for start, end in sample.spans[i]]
            assert shards.names(index) == {singular(text.split()[-1].lower()) for text in texts}


def test_shards_of_another_run_are_gold(sharded: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = RunDisk(tmp_path_factory.mktemp("run"))
    gold = open_gold(elsewhere, GoldSet(source=f"{sharded}/shards/"))
    assert isinstance(gold, ShardSet) and len(gold) == 16
    mine = ShardSet(RunDisk(sharded))
    for index in range(16):
        sample = gold.sample(index)
        assert not sample.pseudo and sample.image == mine.sample(index).image


@pytest.mark.parametrize("index", ["", "[]", '{"shards": [{"samples": 3}]}', '{"shards": 7}'])
def test_an_index_that_lists_no_shards_is_said_in_one_line(tmp_path: Path, index: str) -> None:
    (tmp_path / "index.json").write_text(index)
    with pytest.raises(UserError, match=r"train: .*/index\.json is no list of phrasebox shards: "):
        open_gold(RunDisk(tmp_path), GoldSet(source=str(tmp_path)))


def test_many_threads_read_shards_of_which_one_at_a_time_is_open(
    sharded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [ShardSet(RunDisk(sharded)).sample(index) for index in range(16)]
    monkeypatch.setattr(shards, "OPEN_SHARDS", 1)
    ours = ShardSet(RunDisk(sharded))
    order = np.random.default_rng(0).permutation(np.arange(320) % 16).tolist()
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = list(pool.map(ours.sample, order))
    assert len(found) == 320
    for index, sample in zip(order, found, strict=True):
        assert (sample.key, sample.image) == (wanted[index].key, wanted[index].image)


def test_a_shard_that_was_closed_under_its_reader_is_read_all_the_same(sharded: Path) -> None:
    ours = ShardSet(RunDisk(sharded))
    shard, row = ours._locate(3)
    wanted = shard.sample(row, 0.0, True).image
    shard.close()
    assert shard.sample(row, 0.0, True).image == wanted
