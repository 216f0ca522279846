"""The claim at its smallest, from photos to the result; and that it goes on where it was stopped."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from experiments.photos_claim.cells import Grid, cells_of
from experiments.photos_claim.runner import Runner
from experiments.photos_claim.summary import ROLES, result_of, tables
from experiments.runner import read
from recipes.glip_photos.gold import flickr
from recipes.glip_photos.prepare import without, write_coco, write_flickr, write_gold

SHARED = Path(__file__).resolve().parents[4] / "shared"
PHOTOS = SHARED / "data" / "photos"
TRAINED, TESTED = 40, 6
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PHOTOS.is_dir(), reason="no ../shared/data/photos"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As recipes/glip_photos/prepare.py writes it, of the first photos."""
    out = tmp_path_factory.mktemp("photos")
    test = {row["file_name"] for row in read(PHOTOS / "entities_test.json")["images"][: 2 * TESTED]}
    gold = read(PHOTOS / "entities_train.json")
    train = [row["file_name"] for row in gold["images"]]
    write_gold(out / "entities_train.json", without(gold, set(train[TRAINED:])))
    write_flickr(PHOTOS, out / "flickr", test | set(train[:TRAINED]))
    coco = read(PHOTOS / "coco_instances.json")
    coco = without(
        coco, {row["file_name"] for row in coco["images"] if not (PHOTOS / "coco-more" / row["file_name"]).is_file()}
    )
    coco = without(coco, {row["file_name"] for row in coco["images"][2:]})
    write_coco(SHARED / "data", coco, out / "coco")
    write_gold(out / "coco_train.json", coco)
    return out


def test_the_smallest_claim_from_end_to_end(data: Path, tmp_path: Path) -> None:
    """Two steps a model: the commands of every cell, what they leave, and the result."""
    sizes = {"steps": 2, "batch_size": 2, "start_photos": 4, "start_steps": 2, "test_photos": TESTED}
    grid = Grid(seeds=(0,), **sizes, shared=str(SHARED), data=str(data))
    cells = cells_of(grid)
    work, results = tmp_path / "work", tmp_path / "results"
    assert not Runner(work, results, 0.0).make(cells[0])  # no time: nothing is recorded, and the next call goes on
    runner = Runner(work, results, None)
    assert [cell.name for cell in runner.pending(cells)] == [cell.name for cell in cells]
    assert all(runner.make(cell) for cell in runner.pending(cells)) and not runner.pending(cells)
    found = {cell.name: read(results / f"{cell.name}.json") for cell in cells}
    names = {row["file_name"] for row in read(work / "start-s0" / "gold.json")["images"]}
    pairs = pq.ParquetDataset(work / "labels-s0" / "pairs").read(["image"]).to_pylist()
    labelled = {Path(row["image"]["uri"]).name for row in pairs}
    assert len(names) == TRAINED // 10 and len(labelled) == TRAINED - len(names) and not names & labelled
    assert not (work / "labels-s0" / "gold").exists()
    labels = found["labels-s0"]["labels"]
    assert 0.3 < labels["phrases_labelled"] / labels["phrases"] <= 0.5 and labels["agreement"]["labels"] > 10
    shards = read(work / "student-s0" / "shards" / "index.json")["shards"]
    assert found["student-s0"]["sets"]["pseudo"] == sum(shard["samples"] for shard in shards) > 10
    student = (work / "student-s0" / "config.yaml").read_text()
    assert f"min_score: {labels['threshold']}" in student
    start = hashlib.sha256((work / "start-s0" / "start.safetensors").read_bytes()).hexdigest()
    assert {found[f"{role}-s0"]["init_sha256"] for role in ("teacher", "student", "upper")} == {start}
    result = result_of(list(found.values()), vars(grid))
    assert result["seeds"] == [0] and result["samples_seen"] == [4] and len(result["start_sha256"]) == 1
    asked = [len(photo.phrases) for photo in flickr(PHOTOS / "entities_test.json", data)[:TESTED]]
    assert [result[role]["all"]["phrases"] for role in ROLES] == [[sum(asked)]] * 3
    goals = 3 + len(result["verdict"]["gains"]) if result["verdict"] else 0  # a rare head may be missing among so few
    assert tables(result).count("\n") == 8 + goals
    json.dumps(result, allow_nan=False)
