"""`phrasebox tune` from a set on the disk to a file that labelling and evaluation put beside the base weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from model import teachers
from model.checkpoint import packaged_weights, sha256
from model.glip import Glip
from model.scheduler import Scheduler
from model.tuning import OFFSET, Tuned
from pipeline.cli.commands import Options, run_stage
from pipeline.run.config import resolve
from schemas.commit import CommitRecord
from schemas.config import Config, LabelConfig
from stages import load_stage
from stages.evaluate.stage import EvaluateStage
from stages.label.stage import LabelStage
from stages.stage import UserError
from stages.tune import tuner
from stages.tune.stage import HISTORY, WEIGHTS, TuneStage, annotations_sha256
from tests.stages.conftest import DiskIO
from tests.stages.tune.scene_sets import NAMES, write_odinw

SMALL = {"short": 96, "long": 160, "teacher": "glip-nano", "device": "cpu"}
INLINE = Options(inline=True)


class Desk(DiskIO):
    """A run folder; sources are named by their absolute paths."""

    def progress(self, done: int, total: int = 0, message: str = "") -> None:
        self.done = done

    def files(self, folder: str) -> list[str]:
        return sorted(path.relative_to(self.root).as_posix() for path in (self.root / folder).rglob("*.*"))

    def delete(self, path: str) -> None:
        (self.root / path).unlink()


@pytest.fixture(scope="module")
def odinw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_odinw(tmp_path_factory.mktemp("odinw"), train=range(30), valid=range(30, 48), test=range(48, 66))


def config(odinw: Path, **tune: Any) -> Config:
    settings = {"data": str(odinw), "shots": 1, "epochs": 2, "warmup": 0, "lr": 0.05, "method": "prompt", "threads": 1}
    return Config.model_validate({"label": SMALL, "tune": {"device": "cpu", **settings, **tune}})


def tuned(odinw: Path, folder: Path, **tune: Any) -> dict[str, Any]:
    return TuneStage(config(odinw, **tune)).run_job(Desk(folder))


def test_a_prompt_from_one_example_of_each_category(odinw: Path, tmp_path: Path) -> None:
    notes = tuned(odinw, tmp_path)
    found = Tuned.load(tmp_path / WEIGHTS)
    assert (found.variant, found.method, found.listed.names) == ("glip-nano", "prompt", NAMES)
    assert found.base == sha256(packaged_weights("glip-nano")) == notes["base"]["weights"]
    assert {name: value.shape for name, value in found.tensors.items()} == {OFFSET: (11, 96)}
    assert found.tensors[OFFSET].any() and (notes["parameters"], notes["epochs"]) == (11 * 96, 2)
    assert notes["bytes"] == (tmp_path / WEIGHTS).stat().st_size < 6000
    history = json.loads((tmp_path / HISTORY).read_text())
    assert len(history["validation_ap"]) == 3 and len(history["loss"]) == 2
    assert notes["validation_ap"]["best"] == max(history["validation_ap"][1:])
    shown = json.loads((odinw / "train" / "annotations_without_background.json").read_text())
    drawn = {row["id"] for row in shown["images"] if row["file_name"] in history["train"]}
    assert len(drawn) == len(history["train"]) <= len(NAMES)
    there = {box["category_id"] for box in shown["annotations"]}
    assert {box["category_id"] for box in shown["annotations"] if box["image_id"] in drawn} == there


def test_the_same_examples_give_the_same_bytes(odinw: Path, tmp_path: Path) -> None:
    for folder in ("first", "second"):
        tuned(odinw, tmp_path / folder, method="linear", lr=1e-3, epochs=1)
    first, second = ((tmp_path / folder / WEIGHTS).read_bytes() for folder in ("first", "second"))
    assert first == second and len(first) < 40_000


def test_without_shots_the_words_of_the_prompt_are_kept(odinw: Path, tmp_path: Path) -> None:
    """Manual prompts: nothing is learned, and no validation set is needed."""
    prompts = [{"name": name, "suffix": " on a hill"} for name in NAMES]
    notes = tuned(
        odinw, tmp_path, shots=0, prompts=prompts, data=str(odinw / "test" / "annotations_without_background.json")
    )
    found = Tuned.load(tmp_path / WEIGHTS)
    assert found.tensors == {} and notes["parameters"] == 0 and "validation_ap" not in notes
    assert found.listed.caption.startswith("dog on a hill. cat on a hill. ")
    label = LabelConfig.model_validate({**SMALL, "tuned": str(tmp_path / WEIGHTS)})
    image = np.asarray(Image.open(next((odinw / "test").glob("*.jpg"))).convert("RGB"))
    (found_here,) = Scheduler(teachers.open_teacher(label)).detect([image], NAMES, 0.05)
    glip = Glip.pretrained("glip-nano")
    spans = found.listed.spans
    (by_hand,) = glip.ground([image], [found.listed.caption], [spans], 0.05, resize_to=(96, 160))
    assert len(by_hand.boxes) and torch.equal(found_here.scores, by_hand.scores)
    assert torch.equal(found_here.phrase, by_hand.phrase)


def test_evaluation_beside_the_base_weights_from_command_to_file(odinw: Path, tmp_path: Path) -> None:
    """The AP on the validation images is the one that tuning has seen at its best epoch."""
    file, run = tmp_path / "few.yaml", str(tmp_path / "run")
    val = odinw / "valid"
    measured = {"benchmark": "coco", "models": ["teacher"], "images": str(val)}
    sections = {
        **config(odinw, shots="all", method="full", lr=2e-3, text_lr=2e-4, epochs=2, batch_size=2).model_dump(),
        "evaluate": {**measured, "data": str(val / "annotations_without_background.json")},
    }
    file.write_text(json.dumps({name: sections[name] for name in ("label", "tune", "evaluate")}))
    run_stage(str(file), (), run, "tune", Options(inline=True))
    record = CommitRecord.from_json((tmp_path / "run/commits/tune/part-0000000.json").read_text())
    assert {entry.path for entry in record.files} == {WEIGHTS, HISTORY}
    made = (tmp_path / "run" / WEIGHTS).read_bytes()
    run_stage(str(file), (), run, "tune", Options(inline=True))
    assert (tmp_path / "run" / WEIGHTS).read_bytes() == made
    results = []
    for settings in ((), (f"label.tuned={run}/{WEIGHTS}",)):
        run_stage(str(file), settings, run, "evaluate", Options(inline=True))
        results.append(json.loads((tmp_path / "run/evaluation/coco-teacher.json").read_text()))
    before, after = record.notes["validation_ap"]["before"], record.notes["validation_ap"]["best"]
    assert [result["AP"] for result in results] == [pytest.approx(before), pytest.approx(after)] and before != after
    assert "tuned" not in results[0]["model"] and results[1]["model"]["tuned"] == sha256(tmp_path / "run" / WEIGHTS)
    assert results[1]["model"]["weights"] == results[0]["model"]["weights"]
    history = json.loads((tmp_path / "run" / HISTORY).read_text())
    assert set(history["trained"]) == {name for name, _ in Glip.pretrained("glip-nano").named_parameters()}


@pytest.mark.slow
def test_on_ray_it_is_tuned_and_measured_as_in_one_process(
    odinw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted before it has written its result, it goes on; workers get the tuned weights with the base."""
    monkeypatch.setattr(tuner, "KEEP_EVERY", 0.0)
    file, val = tmp_path / "few.yaml", odinw / "valid"
    settings = config(odinw, shots=1, epochs=2).model_dump()
    measured = {"benchmark": "coco", "models": ["teacher"], "images": str(val)}
    evaluate = {**measured, "data": str(val / "annotations_without_background.json")}
    file.write_text(json.dumps({"label": settings["label"], "tune": settings["tune"], "evaluate": evaluate}))
    whole, halved, ray = (str(tmp_path / name) for name in ("whole", "halved", "ray"))
    run_stage(str(file), (), whole, "tune", Options(inline=True))
    with monkeypatch.context() as patch:
        patch.setattr(Tuned, "to_bytes", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_stage(str(file), (), halved, "tune", Options(inline=True))
    (kept,) = Path(halved, "tuned").iterdir()
    assert kept.name == "checkpoint-00000002.pt"
    run_stage(str(file), (), halved, "tune", Options(inline=True))
    run_stage(str(file), (), ray, "tune", Options(workers=1))
    for run in (halved, ray):
        assert sorted(path.name for path in Path(run, "tuned").iterdir()) == ["history.json", "tuned.safetensors"]
        for name in (WEIGHTS, HISTORY):
            assert Path(run, name).read_bytes() == Path(whole, name).read_bytes()
    aps = []
    for run, tuned_too, options in ((whole, False, INLINE), (whole, True, INLINE), (ray, True, Options(workers=1))):
        chosen = (f"label.tuned={run}/{WEIGHTS}",) if tuned_too else ()
        run_stage(str(file), chosen, run, "evaluate", options)
        aps.append(json.loads(Path(run, "evaluation/coco-teacher.json").read_text())["AP"])
    assert aps[2] == aps[1] != aps[0], "the tuned weights are those of one process, and are used"


def interrupt(tuned: Tuned) -> bytes:
    raise KeyboardInterrupt


def test_tuning_computes_without_tf32(odinw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    tuned(odinw, tmp_path, shots=0)
    assert not torch.backends.cudnn.allow_tf32


def test_tuned_weights_enter_the_fingerprints_by_their_digest(odinw: Path, tmp_path: Path) -> None:
    tuned(odinw, tmp_path, shots=0)
    stages = [LabelStage, EvaluateStage]

    def settings(path: str | None) -> list[dict[str, Any]]:
        own = resolve(Config.model_validate({"label": {**SMALL, "tuned": path}}), stages, stages)
        assert own.label.tuned_sha256 == (sha256(path) if path else None)
        return [stage.settings(own) for stage in stages]

    copy = tmp_path / "copy.safetensors"
    copy.write_bytes((tmp_path / WEIGHTS).read_bytes())
    plain, first, second = settings(None), settings(str(tmp_path / WEIGHTS)), settings(str(copy))
    assert first == second and all(one != other for one, other in zip(plain, first, strict=True))
    assert "tuned" not in plain[0] and "tuned" not in plain[1]["teacher"]  # older runs stay current


def test_what_tuning_depends_on(odinw: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    before = annotations_sha256(str(tmp_path))
    assert before == {"a.json": sha256(tmp_path / "a.json")} and annotations_sha256("s3://bucket/a.json") == {}
    (tmp_path / "a.json").write_text("{ }")
    assert annotations_sha256(str(tmp_path)) != before
    first, second = (TuneStage.settings(config(odinw, seed=seed)) for seed in (3, 30))
    assert first != second and first["base"] == sha256(packaged_weights("glip-nano"))
    assert not TuneStage.enabled(Config()) and TuneStage.enabled(config(odinw))
    assert load_stage("tune") is TuneStage


@pytest.mark.parametrize(
    ("tune", "words"),
    [
        ({"data": None}, r"^tune.data: name a COCO instances JSON"),
        ({"prompts": [{"name": "dog"}]}, r"^tune.prompts: 1 prompts for the 5 categories dog, cat"),
        ({"data": "{}/train"}, r"^tune.val: .*train has no val/annotations_without_background.json"),
        ({"images": "{}/test"}, r"^tune.images: .*test/\d+.jpg: missing_image"),
        ({"val": "{}/other.json"}, r"^tune.val: its categories are eel; those of tune.data are dog, cat"),
        ({"data": "{}/none.json", "val": "{}/none.json"}, r"^tune.data: .*no true box in the 1 images"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(odinw: Path, tmp_path: Path, tune: dict[str, Any], words: str) -> None:
    image = {"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}
    for name, boxes in (("other", [box]), ("none", [])):
        content = {"images": [image], "annotations": boxes, "categories": [{"id": 1, "name": "eel"}]}
        (odinw / f"{name}.json").write_text(json.dumps(content))
    given = {key: value.format(odinw) if isinstance(value, str) else value for key, value in tune.items()}
    with pytest.raises(UserError, match=words):
        tuned(odinw, tmp_path, **given)


def test_only_a_glip_can_be_tuned_and_only_from_its_own_weights(odinw: Path, tmp_path: Path) -> None:
    plain = config(odinw)
    other = plain.model_copy(update={"label": LabelConfig(teacher="transformers", device="cpu")})
    for run in (lambda: TuneStage.resolve(other), lambda: TuneStage(other).run_job(Desk(tmp_path))):
        with pytest.raises(UserError, match=r"^label.teacher: transformers cannot be tuned; a GLIP can: glip-l, "):
            run()
    without = other.model_copy(update={"tune": other.tune.model_copy(update={"data": None})})
    assert TuneStage.resolve(without)["device"] == "cpu"  # off: a run with this teacher goes on
    with pytest.raises(UserError, match=r"^label.tuned: tuning starts from the weights themselves"):
        TuneStage.resolve(plain.model_copy(update={"label": LabelConfig(tuned="x.safetensors")}))
    gone = plain.model_copy(update={"label": LabelConfig(teacher="glip-nano", weights="/none.pth", device="cpu")})
    with pytest.raises(UserError, match=r"^label.weights: /none.pth: no such weights file"):
        TuneStage(gone).run_job(Desk(tmp_path))


def test_evaluation_says_what_a_tuned_prompt_cannot_be_asked(odinw: Path, tmp_path: Path) -> None:
    tuned(odinw, tmp_path / "run", shots=0)
    top = odinw / "test"
    dataset = json.loads((top / "annotations_without_background.json").read_text())
    dataset["categories"][0]["name"] = "eel"
    (tmp_path / "other.json").write_text(json.dumps(dataset))
    measured = {"benchmark": "coco", "models": ["teacher"], "data": str(tmp_path / "other.json"), "images": str(top)}
    label = {**SMALL, "tuned": str(tmp_path / "run" / WEIGHTS)}
    stage = EvaluateStage(Config.model_validate({"label": label, "evaluate": measured}))
    with pytest.raises(
        UserError, match=r"^label.tuned: its prompt is for dog, cat, car, tree, apple, and 'eel' is not"
    ):
        stage.run_job(Desk(tmp_path))
