"""The evaluate stage: which benchmark runs, what its file holds, and what the summary quotes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

import stages.evaluate.stage
from model.glip import Glip
from pipeline.run.config import resolve
from schemas.config import Config
from stages.evaluate.stage import EvaluateStage
from stages.evaluate.stage import headline as headline_of
from stages.stage import UserError
from stages.train.stage import WEIGHTS
from tests.stages.evaluate import refcoco_files

CUP = (10.0, 10.0, 50.0, 50.0)
DETECTION = {
    "images": [
        {
            **{"id": 1, "file_name": "a.png", "height": 80, "width": 100},
            **{"neg_category_ids": [], "not_exhaustive_category_ids": []},
        }
    ],
    "categories": [{"id": 1, "name": "cup", "frequency": "r"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "area": 1600}],
}
GROUNDING = {
    "images": [{**DETECTION["images"][0], "caption": "a cup", "tokens_positive_eval": [[[0, 5]]]}],
    "annotations": [{"id": 1, "image_id": 1, "bbox": [10, 10, 40, 40], "tokens_positive": [[0, 5]]}],
}


@pytest.mark.parametrize(
    ("benchmark", "data", "headline"),
    [
        ("coco", DETECTION, {"AP": 100, "AP50": 100}),
        ("lvis", DETECTION, {"AP": 100, "AP50": 100, "APr": 100}),
        ("flickr30k", GROUNDING, {"any_box R@1": 100, "merged_box R@1": 100}),
    ],
)
def test_a_benchmark_from_config_to_file(
    monkeypatch: pytest.MonkeyPatch,
    io: Any,
    scripted: Any,
    paint: Callable[..., str],
    tmp_path: Path,
    benchmark: str,
    data: dict[str, Any],
    headline: dict[str, Any],
) -> None:
    glip = scripted({7: [(CUP, 0.9, 0)], (7, "a cup"): [(CUP, 0.9, 0)]})
    monkeypatch.setattr(stages.evaluate.stage, "open_scheduler", lambda label: glip)
    (tmp_path / "data.json").write_text(json.dumps(data))
    settings = {"data": str(tmp_path / "data.json"), "images": paint({"a.png": 7}), "per_prompt": 3}
    label = {"teacher": "glip-t", "variant": "glip-t", "weights_sha256": "feed"}
    config = Config.model_validate(
        {"label": label, "evaluate": {"benchmark": benchmark, "models": ["teacher"], **settings}}
    )
    assert EvaluateStage.resolve(config) == {name: settings[name] for name in ("data", "images")}
    assert EvaluateStage(config).run_job(io) == {"teacher": {k: pytest.approx(v) for k, v in headline.items()}}
    with io.open(f"evaluation/{benchmark}-teacher.json") as stream:
        result = json.load(stream)
    assert result["model"] == {"role": "teacher", "name": "glip-t", "variant": "glip-t", "weights": "feed"}
    assert (result["benchmark"], result["pictures"], result["data"]["images"]) == (benchmark, 1, settings["images"])
    assert len(result["protocol"]) > 200
    assert [call.get("per_prompt") for call in glip.calls] == [3 if benchmark == "lvis" else None]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"benchmark": "odinw"}, "no benchmark 'odinw'; there are scenes, labels, coco, lvis, flickr30k, refcoco"),
        ({"benchmark": "lvis", "images": "x"}, "lvis needs `data`"),
        ({"benchmark": "flickr30k", "data": "x"}, "Sentences/ and Annotations/"),
    ],
)
def test_what_a_benchmark_lacks_is_said_before_it_runs(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        EvaluateStage.resolve(Config.model_validate({"evaluate": settings}))
    assert EvaluateStage.resolve(Config()) == {}


def test_relative_paths_are_those_of_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, io: Any, scripted: Any, paint: Callable[..., str], tmp_path: Path
) -> None:
    paint({"a.png": 7})
    (tmp_path / "data.json").write_text(json.dumps(DETECTION))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stages.evaluate.stage, "open_scheduler", lambda label: scripted({7: [(CUP, 0.9, 0)]}))
    settings = {"benchmark": "coco", "models": ["teacher"], "data": "data.json", "images": "pictures"}
    config = resolve(Config.model_validate({"evaluate": settings}), [EvaluateStage], [EvaluateStage])
    assert (config.evaluate.data, config.evaluate.images) == (f"{tmp_path}/data.json", f"{tmp_path}/pictures")
    assert EvaluateStage(config).run_job(io)["teacher"]["AP"] == pytest.approx(100)  # the run lies in another folder
    before = EvaluateStage.settings(config)
    (tmp_path / "data.json").write_text(json.dumps({**DETECTION, "annotations": []}))
    assert EvaluateStage.settings(config) != before


def test_what_was_not_asked_for_stands_in_the_headline() -> None:
    result = {
        "benchmark": "refcoco",
        "box_accuracy": 50.0,
        "failed": {},
        "not_asked": {"phrase_over_token_limit": 1200},
    }
    assert headline_of(result) == {"box accuracy": 50.0, "phrases not asked for": 1200}
    assert headline_of({**result, "not_asked": {}}) == {"box accuracy": 50.0}


def test_a_student_alone_is_measured_without_tf32(monkeypatch: pytest.MonkeyPatch, io: Any) -> None:
    with io.create(WEIGHTS) as stream:
        stream.write(save(Glip.from_variant("glip-nano").state_dict()))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    config = Config.model_validate({"label": {"device": "cpu", "precision": "bf16"}})
    scheduler, description = EvaluateStage(config)._open_model(io, "student")
    assert not torch.backends.cudnn.allow_tf32
    assert description.name == "glip-nano" and scheduler.teacher.network.precision == "bf16"  # type: ignore[attr-defined]


def test_data_in_a_store_stays_there() -> None:
    settings = {"benchmark": "coco", "data": "s3://bucket/data.json", "images": "s3://bucket/pictures"}
    config = Config.model_validate({"evaluate": settings})
    assert resolve(config, [EvaluateStage], [EvaluateStage]) == config


@pytest.mark.parametrize("models", [["student"], []])
def test_an_evaluation_of_no_model_is_refused(io: Any, models: list[str]) -> None:
    config = Config.model_validate({"evaluate": {"models": models}})
    with pytest.raises(UserError, match=r"evaluate\.models: no model is left"):
        EvaluateStage(config).run_job(io)


@pytest.mark.parametrize(("benchmark", "name"), [("coco", "mask AP"), ("refcoco", "oIoU")])
def test_a_segmenter_is_opened_where_the_mask_section_names_one(
    monkeypatch: pytest.MonkeyPatch,
    io: Any,
    scripted: Any,
    cutter: Any,
    paint: Callable[..., str],
    tmp_path: Path,
    benchmark: str,
    name: str,
) -> None:
    script = {1: [(CUP, 0.9, 0)], (1, "left cup"): [(CUP, 0.9, 0)]}
    monkeypatch.setattr(stages.evaluate.stage, "open_scheduler", lambda label: scripted(script))
    monkeypatch.setattr(stages.evaluate.stage, "open_segmenter", lambda config: cutter())
    data = refcoco_files.by_hand(tmp_path)
    instances = json.loads((tmp_path / "instances.json").read_text())
    instances["categories"][0]["name"] = "cup"
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    images = paint({"a.png": 1, "b.png": 2})
    section = {"benchmark": benchmark, "models": ["teacher"], "images": images}
    section["data"] = data if benchmark == "refcoco" else str(tmp_path / "instances.json")
    label = {"teacher": "glip-nano", "device": "cpu"}

    def config(**mask: Any) -> Config:
        return Config.model_validate({"label": label, "evaluate": section, "mask": mask})

    assert name not in EvaluateStage(config()).run_job(io)["teacher"]
    with_masks = config(model="a/model", model_sha256="12ab")
    assert EvaluateStage(with_masks).run_job(io)["teacher"][name] > 0
    # another network, precision or file of true masks is another figure; without masks, the section is nobody's affair
    before = EvaluateStage.settings(with_masks)
    assert before["mask"]["model"] == "12ab"
    assert EvaluateStage.settings(config(model="a/model", model_sha256="34cd")) != before
    assert EvaluateStage.settings(config(model="a/model", model_sha256="12ab", precision="bf16")) != before
    assert "mask" not in EvaluateStage.settings(config(precision="bf16"))
    (tmp_path / "instances.json").write_text(json.dumps({**instances, "info": {}}))
    assert EvaluateStage.settings(with_masks) != before
