"""The mask stage: a mask for each box of pseudo, rejected rows, and what `verify` finds in a damaged table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model.segmenter import Segment, Segmenter
from schemas.commit import CommitRecord, Counts
from schemas.config import Config
from schemas.rows import Box, Mask, MaskRow, PseudoRow
from schemas.tables import MaskTable, PseudoTable
from stages.images import decode_rgb
from stages.mask.stage import PIXELS, MaskStage
from stages.rle import decode, encode
from stages.stage import PartResult
from stages.synthetic import draw_scene, scene_masks
from tests.model import tiny_sam
from tests.stages.conftest import Run

SEED = 2


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sam.save("sam2", tmp_path_factory.mktemp("sam2"))


def resolved(run: Run, checkpoint: Path, **mask: Any) -> Config:
    config = run.config(mask={"model": str(checkpoint), "device": "cpu", **mask})
    return config.model_copy(update={"mask": config.mask.model_copy(update=MaskStage.resolve(config))})


def scenes(run: Run, count: int) -> list[dict[str, Any]]:
    """Pairs of scenes; their true boxes are those of pseudo, but for the second row, which has none."""
    pairs = run.ingest(source="scenes", count=count, seed=SEED)
    rows = [
        PseudoRow(
            pair["key"],
            pair["width"],
            pair["height"],
            tuple(
                Box(0, *(box[name] for name in ("x1", "y1", "x2", "y2")), 0.9) for box in gold["boxes"] if number != 1
            ),
            (),
        )
        for number, (pair, gold) in enumerate(zip(pairs, run.rows("gold"), strict=True))
    ]
    run.io().write("pseudo", PseudoTable.of_records(rows).table)
    return pairs


def mask(run: Run, checkpoint: Path, **settings: Any) -> PartResult:
    return MaskStage(resolved(run, checkpoint, **settings)).run_part(run.io())


def test_masks_are_what_the_network_gives_each_image_alone(run: Run, checkpoint: Path) -> None:
    pairs = scenes(run, 6)
    result = mask(run, checkpoint, batch_size=4, boxes_per_pass=2)
    assert (result.counts.in_, result.counts.out, result.counts.rejected) == (6, 6, 0) and result.counts.balanced
    segmenter = Segmenter.open(checkpoint, "cpu")
    pseudo = PseudoTable.read(run.io()).records()
    found = MaskTable.read(run.io()).records()
    assert [row.key for row in found] == [pair["key"] for pair in pairs] and found[1].masks == ()
    for row, boxes, pair in zip(found, pseudo, pairs, strict=True):
        image = decode_rgb(run.image(pair), 10**7)
        alone = list(segmenter.segment(image, np.array([box.corners for box in boxes.boxes]).reshape(-1, 4)))
        assert [(one.height, one.width) for one in row.masks] == [image.shape[:2]] * len(boxes.boxes)
        assert [one.score for one in row.masks] == pytest.approx([segment.score for segment in alone], abs=1e-4)
        for one, segment in zip(row.masks, alone, strict=True):
            assert (decode(one.counts, one.height, one.width) == segment.mask).mean() > 0.999
    assert result.notes["masks"] == sum(len(row.boxes) for row in pseudo) > 5
    areas = [decode(one.counts, one.height, one.width).sum() for row in found for one in row.masks]
    assert result.notes[PIXELS] == sum(areas)


def test_the_bytes_are_those_of_an_earlier_attempt(run: Run, checkpoint: Path) -> None:
    scenes(run, 5)
    path = run.root / "masks/part-0000000.parquet"
    mask(run, checkpoint)
    first = path.read_bytes()
    mask(run, checkpoint)
    assert path.read_bytes() == first


def test_an_image_is_read_once_and_only_where_there_are_boxes(run: Run, checkpoint: Path) -> None:
    pairs = scenes(run, 4)
    io = run.io()
    MaskStage(resolved(run, checkpoint)).run_part(io)
    offsets = [pair["image"]["offset"] for number, pair in enumerate(pairs) if number != 1]
    assert [ref.offset for ref in io.reads] == offsets and io.done == 4


def test_a_changed_image_is_rejected_and_the_others_have_their_masks(run: Run, checkpoint: Path) -> None:
    pairs = scenes(run, 4)
    tar = run.root / pairs[2]["image"]["uri"]
    data = bytearray(tar.read_bytes())
    data[pairs[2]["image"]["offset"] + 400] ^= 255
    tar.write_bytes(data)
    result = mask(run, checkpoint, batch_size=2)
    assert (result.counts.out, result.counts.rejected) == (3, 1) and result.counts.balanced
    assert run.rejects("mask") == {pairs[2]["source_id"]: "image_changed"}
    assert [row["key"] for row in run.rows("masks")] == [pairs[i]["key"] for i in (0, 1, 3)]


class Knowing:
    """Stands in for a network: a scene's true mask for each true box, by its place."""

    def __init__(self, score: float = 0.75) -> None:
        self.score = score
        self.scene = -1
        import torch

        self.device = torch.device("cpu")

    def segment_batch(self, images: Sequence[Any], boxes: Sequence[NDArray[Any]]) -> Iterator[Iterator[Segment]]:
        for image, own in zip(images, boxes, strict=True):
            self.scene = self.scene + 1 if self.scene != 0 else 2  # the second has no boxes
            assert image.shape[:2] == scene_masks("web", SEED, self.scene)[0].shape
            yield (Segment(true_mask(self.scene, box), self.score) for box in own)


def true_mask(index: int, box: NDArray[Any]) -> NDArray[np.bool_]:
    objects = draw_scene("web", SEED, index).objects
    (number,) = [i for i, (_, corners) in enumerate(objects) if corners == tuple(box.tolist())]
    return scene_masks("web", SEED, index)[number]


def test_masks_lie_in_the_frame_of_the_whole_image_in_the_order_of_the_boxes(
    run: Run, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes(run, 5)
    monkeypatch.setattr("stages.mask.stage.open_segmenter", lambda config: Knowing())
    mask(run, checkpoint)
    pseudo, found = PseudoTable.read(run.io()).records(), MaskTable.read(run.io()).records()
    assert sum(len(row.masks) for row in found) > 5
    for index, (row, boxes) in enumerate(zip(found, pseudo, strict=True)):
        expected = tuple(
            Mask(encode(true_mask(index, np.array(box.corners))), boxes.height, boxes.width, 0.75)
            for box in boxes.boxes
        )
        assert row.masks == expected


def test_scores_that_are_not_finite_reject_the_row(run: Run, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = scenes(run, 2)
    monkeypatch.setattr("stages.mask.stage.open_segmenter", lambda config: Knowing(float("nan")))
    counts = mask(run, checkpoint).counts
    assert (counts.out, counts.rejected) == (1, 1) and counts.balanced
    assert run.rejects("mask") == {pairs[0]["source_id"]: "non_finite_scores"}


def test_the_stage_is_on_where_a_model_is_named(run: Run, checkpoint: Path) -> None:
    off, on = run.config(), resolved(run, checkpoint)
    assert (MaskStage.enabled(off), MaskStage.enabled(on)) == (False, True)
    assert MaskStage.resolve(off) == {} and on.mask.device == "cpu"
    assert on.mask.model_sha256 and MaskStage.digests(on) == {"model": on.mask.model_sha256}
    assert MaskStage.settings(on)["boxes_per_pass"] == 32


# -- verify ------------------------------------------------------------------------------------------------------------


def contradictions(run: Run, rows: list[MaskRow], pixels: int) -> list[str]:
    run.io().write("masks", MaskTable.of_records(rows).table)
    record = CommitRecord("mask", 0, "", Counts(1, 1), (), 0.0, {}, {PIXELS: pixels})
    return list(MaskStage.contradictions(run.io(), record))


def test_verify_recounts_sizes_runs_and_area(run: Run) -> None:
    key = "000000000000"
    row = PseudoRow(key, 4, 3, (Box(0, 0.0, 0.0, 2.0, 2.0, 0.9),), ())
    run.io().write("pseudo", PseudoTable.of_records([row]).table)
    pixels = np.zeros((3, 4), np.bool_)
    pixels[:2, :2] = True
    right = Mask(encode(pixels), 3, 4, 0.5)
    assert contradictions(run, [MaskRow(key, (right,))], 4) == []
    (area,) = contradictions(run, [MaskRow(key, (right,))], 5)
    assert area == "the record says mask_pixels = 5, the masks cover 4"
    (size,) = contradictions(run, [MaskRow(key, (Mask(encode(pixels.T), 4, 3, 0.5),))], 4)
    assert size == f"{key} has a mask of 4 x 3 pixels (h, w), not (3, 4)"
    (runs,) = contradictions(run, [MaskRow(key, (Mask(b"5", 3, 4, 0.5),))], 4)
    assert runs == f"{key}: the runs of a mask cover 5 pixels, not 3 x 4"
