"""The label stage: every box at or above the floor, by phrase; bad images rejected, the rest unharmed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from model.checkpoint import packaged_weights, sha256
from model.glip import Glip
from model.network import GlipNetwork
from model.teachers.glip import GlipTeacher
from schemas.config import Config
from stages.images import decode_rgb
from stages.label.stage import LabelStage
from stages.phrases.stage import PhrasesStage
from stages.stage import PartIO, UserError
from tests.stages.conftest import Run

FLOOR = 0.1


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "nano.safetensors"
    Glip.from_variant("glip-nano", seed=3).save(path)
    return path


def resolved(run: Run, weights: Path, **label: Any) -> Config:
    config = run.config(
        label={"weights": str(weights), "device": "cpu", "score_floor": FLOOR, "batch_size": 2, **label}
    )
    return config.model_copy(update={"label": config.label.model_copy(update=LabelStage.resolve(config))})


def scenes(run: Run, count: int) -> None:
    run.ingest(source="scenes", count=count, seed=2)
    PhrasesStage(run.config()).run_part(run.io())


def network_of(stage: LabelStage) -> GlipNetwork:
    teacher = stage.scheduler.teacher
    assert isinstance(teacher, GlipTeacher)
    return teacher.network


def label(run: Run, weights: Path, **settings: Any) -> Any:
    io: PartIO = run.io()
    return LabelStage(resolved(run, weights, **settings)).run_part(io)


def test_labels_are_what_the_teacher_gives_each_pair_alone(run: Run, weights: Path) -> None:
    scenes(run, 5)
    result = label(run, weights)
    assert result.counts.in_ == result.counts.out == 5 and result.counts.balanced
    glip = Glip.from_file("glip-nano", weights)
    pairs = {row["key"]: row for row in run.rows("pairs")}
    for row, phrases in zip(run.rows("labels"), run.rows("phrases"), strict=True):
        image_file = decode_rgb(run.image(pairs[row["key"]]), 10**7)
        spans = [[(phrase["start"], phrase["end"])] for phrase in phrases["phrases"]]
        (alone,) = glip.ground([image_file], [phrases["caption"]], [spans], score_floor=FLOOR)
        assert (row["height"], row["width"]) == image_file.shape[:2]
        assert len(row["boxes"]) == len(alone.scores)
        order = [(box["phrase"], -box["score"]) for box in row["boxes"]]
        assert order == sorted(order) and all(box["score"] >= FLOOR for box in row["boxes"])
        assert sorted(box["score"] for box in row["boxes"]) == pytest.approx(sorted(alone.scores.tolist()), abs=1e-4)


def test_a_changed_image_is_rejected_and_the_others_are_labelled(run: Run, weights: Path) -> None:
    scenes(run, 4)
    pairs = run.rows("pairs")
    tar = run.root / pairs[1]["image"]["uri"]
    data = bytearray(tar.read_bytes())
    data[pairs[1]["image"]["offset"] + 400] ^= 255
    tar.write_bytes(data)
    result = label(run, weights)
    assert (result.counts.out, result.counts.rejected) == (3, 1)
    assert run.rejects("label") == {pairs[1]["source_id"]: "image_changed"}
    assert [row["key"] for row in run.rows("labels")] == [pairs[i]["key"] for i in (0, 2, 3)]


def test_where_memory_ran_out_the_batches_are_recorded(
    run: Run, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes(run, 5)
    whole = label(run, weights, batch_size=4)
    assert "batches" not in whole.notes and whole.notes["peak_memory_mib"] > 50
    assert whole.notes["teacher"] == {"name": "glip-nano", "variant": "glip-nano", "weights": sha256(weights)}
    expected = run.rows("labels")

    stage = LabelStage(resolved(run, weights, batch_size=4))
    backbone = network_of(stage).backbone
    forward = backbone.forward

    def small(pixels: torch.Tensor) -> list[torch.Tensor]:
        if len(pixels) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(pixels)

    monkeypatch.setattr(backbone, "forward", small)
    notes = stage.run_part(run.io()).notes
    assert sorted(notes["batches"]) == [[row["key"]] for row in expected]
    for row, other in zip(run.rows("labels"), expected, strict=True):
        scores = [[box["score"] for box in one["boxes"]] for one in (row, other)]
        assert len(scores[0]) == len(scores[1]) and scores[0] == pytest.approx(scores[1], abs=1e-4)

    monkeypatch.setattr(backbone, "forward", lambda pixels: small(pixels.repeat(2, 1, 1, 1)))
    with pytest.raises(MemoryError, match="with this image alone"):
        stage.run_part(run.io())


def test_scores_that_are_not_finite_reject_the_row(run: Run, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes(run, 4)
    pairs = run.rows("pairs")
    stage = LabelStage(resolved(run, weights))
    backbone = network_of(stage).backbone
    forward = backbone.forward
    seen = []

    def poisoned(pixels: torch.Tensor) -> list[torch.Tensor]:
        maps = forward(pixels)
        if not seen:
            maps[0][0, 0, 0, 0] = float("inf")
        seen.append(len(pixels))
        return maps

    monkeypatch.setattr(backbone, "forward", poisoned)
    counts = stage.run_part(run.io()).counts
    assert (counts.out, counts.rejected) == (3, 1) and counts.balanced
    ((source, reason),) = run.rejects("label").items()
    assert reason == "non_finite_scores"
    kept = {row["key"] for row in run.rows("labels")}
    assert {pair["source_id"] for pair in pairs if pair["key"] not in kept} == {source}


def test_a_caption_without_a_image_is_set_aside(run: Run, weights: Path) -> None:
    scenes(run, 3)
    pairs = run.rows("pairs")
    pairs[2]["image"] = None
    run.io().write("pairs", pa.Table.from_pylist(pairs))
    result = label(run, weights)
    assert result.counts.set_aside == {"no_image": 1} and result.counts.out == 2 and result.counts.balanced


def test_fp32_is_fp32(run: Run, weights: Path) -> None:
    """cuDNN would take TF32 for convolutions, with 10 bits behind the point."""
    torch.backends.cudnn.allow_tf32 = True
    assert network_of(LabelStage(resolved(run, weights))).precision == "fp32"
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("source", "name", "sides"), [("scenes", "glip-nano", (192, 320)), ("photos.tsv", "glip-photos", (240, 320))]
)
def test_auto_comes_to_a_packaged_teacher(run: Run, source: str, name: str, sides: tuple[int, int]) -> None:
    found = LabelStage.resolve(run.config(ingest={"source": source}))
    assert run.config().label.teacher == "auto"
    assert (found["teacher"], found["variant"], found["device"]) == (name, name, "cpu")
    assert found["weights_sha256"] == sha256(packaged_weights(name))
    assert (found["short"], found["long"]) == sides


def test_what_is_wrong_with_the_teacher_is_one_line(run: Run, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no teacher 'glip-x'; there are glip-l, glip-nano.*did you mean .*glip-l"):
        LabelStage.resolve(run.config(label={"teacher": "glip-x"}))
    with pytest.raises(UserError, match=r"no teacher 'zzz'; there are .*transformers$"):
        LabelStage.resolve(run.config(label={"teacher": "zzz"}))
    with pytest.raises(UserError, match=r"absent\.safetensors"):
        resolved(run, tmp_path / "absent.safetensors")
    with pytest.raises(UserError, match=r"opened from a file, and .* is a folder"):
        resolved(run, tmp_path)
    with pytest.raises(UserError, match="asks for 12ab"):
        resolved(run, weights, weights_sha256="12ab")
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"not weights")
    with pytest.raises(UserError, match="not a safetensors file"):
        scenes(run, 1)
        label(run, bad)
