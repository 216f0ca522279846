"""What a training starts from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from model import variants
from model.backbone import SwinTransformer
from model.checkpoint import sha256
from model.language import Bert
from model.variants import Regularisation, SwinSpec, get_variant
from pipeline.cli.commands import Options, run_stage
from pipeline.run.config import validated
from schemas.config import Config
from stages.stage import UserError
from stages.train.stage import TrainStage, train
from stages.train.start import resolve_start, start_digest, start_model
from tests.hub import COMMIT, serving
from tests.stages.train.conftest import RunDisk, small_training

ROOT = Path(__file__).resolve().parents[3]
SPEC = SwinSpec(width=8, depths=(1, 1, 1, 1), heads=(1, 2, 2, 4), window=4)


@pytest.fixture
def small_swin(monkeypatch: pytest.MonkeyPatch) -> variants.Variant:
    """A variant with a Swin, as small as glip-nano is."""
    variant = replace(get_variant("glip-nano"), name="small-swin", backbone=SPEC)
    variant = replace(variant, text=replace(variant.text, embedding=variant.text.hidden))
    monkeypatch.setitem(variants.VARIANTS, "small-swin", variant)
    return variant


@pytest.fixture
def published(tmp_path: Path, small_swin: variants.Variant) -> dict[str, Any]:
    """Made-up weights of both encoders: a .pth, and a folder as of the hub."""
    torch.manual_seed(7)
    swin = {
        key: value
        for key, value in SwinTransformer(SPEC).state_dict().items()
        if key[:5] not in ("norm1", "norm2", "norm3")
    }
    torch.save({"model": {**swin, "head.weight": torch.zeros(3, 64)}}, tmp_path / "swin.pth")
    folder = tmp_path / "bert"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    bert = {f"bert.{key}": value.contiguous() for key, value in Bert(small_swin.text).state_dict().items()}
    save_file(bert, folder / "model.safetensors")
    return {"visual": str(tmp_path / "swin.pth"), "text": str(folder)}


def test_published_weights_are_taken_and_counted(sharded: Path, published: dict[str, Any]) -> None:
    config = small_training(variant="small-swin", init=published, steps=1, pseudo=True)
    glip, taken = start_model(config)
    fresh = start_model(small_training(variant="small-swin"))[0].state_dict()
    theirs = torch.load(published["visual"], weights_only=True)["model"]
    mine = glip.state_dict()
    for key, value in theirs.items():
        if key != "head.weight":
            assert torch.equal(mine[f"backbone.body.{key}"], value)
    differing = {key.partition(".body.")[0] for key in mine if not torch.equal(mine[key], fresh[key])}
    assert differing == {"backbone", "language_backbone"}
    norms = ", ".join(f"norm{n}.{name}" for n in (1, 2, 3) for name in ("weight", "bias"))
    assert taken["visual"].endswith(f"tensors taken; left fresh: {norms}; not used: head.weight")
    assert taken["text"] == "37 of 37 tensors taken"  # five of the embeddings, two layers of 16
    assert train(RunDisk(sharded), config)["start"] == taken


def test_the_digest_is_that_of_both_files(published: dict[str, Any], tmp_path: Path) -> None:
    config = small_training(variant="small-swin", init=published)
    both = {"visual": sha256(published["visual"]), "text": sha256(published["text"])}
    assert start_digest(config) == both and TrainStage.digests(config)["init"] == both
    assert start_digest(small_training(init=published["visual"])) == both["visual"]
    assert start_digest(small_training()) is None
    with pytest.raises(UserError, match=r"^train.init: .*nowhere"):
        start_digest(small_training(init=str(tmp_path / "nowhere.pth")))


def test_an_id_of_the_hub_becomes_a_commit(
    published: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path / "cache", monkeypatch) as hub:
        hub.models["google-bert/bert-base-uncased"] = Path(published["text"])
        start = {"visual": published["visual"], "text": "google-bert/bert-base-uncased"}
        config = small_training(variant="small-swin", init=start)
        found = resolve_start(config)["init"]
    assert (found.text_revision, found.visual_revision) == (COMMIT, None)
    train_section = config.train.model_copy(update={"init": found})
    resolved = config.model_copy(update={"train": train_section})  # the hub is gone: it is in the cache
    assert start_model(resolved)[1].keys() == {"visual", "text"}


@pytest.mark.parametrize(
    ("init", "words"),
    [
        ({}, "name weights under `visual`, `text` or both"),
        ({"visual": "./nowhere"}, r"train.init.visual: ./nowhere: no such folder"),
        ({"text": "swin.pth", "text_revision": "main"}, "train.init.text: "),
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(init: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        resolve_start(small_training(init=init))


def test_weights_of_another_network_are_said_with_their_file(published: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^train.init.visual: .*swin.pth does not fit glip-nano: \d+ of \d+ tensors"):
        start_model(small_training(init={"visual": published["visual"]}))


def test_a_wrong_key_is_named_by_its_place() -> None:
    with pytest.raises(UserError, match=r"^x: train\.init\.visul: unknown key"):
        validated({"train": {"init": {"visul": "a"}}}, "x")
    assert (
        validated({"train": {"init": {"visual": "a"}}}, "x").train.init
        == Config.model_validate({"train": {"init": {"visual": "a", "text": None}}}).train.init
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["glip_t", "glip_l"])
def test_a_published_pre_training_at_small_size(
    published: dict[str, Any], small_swin: variants.Variant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """From the command to the weights: the config's own settings but for the network, the data and the size."""
    regularised = replace(small_swin, published=Regularisation(0.2, 0.1, 0.1, 0.3))
    monkeypatch.setitem(variants.VARIANTS, "small-swin", regularised)
    whole = yaml.safe_load((ROOT / f"configs/pretrain_{name}.yaml").read_text())
    gold = [{"source": "scenes", "split": "gold", "count": 6, "seed": 1, "detection": 0.5}]
    small = {"variant": "small-swin", "init": published, "gold": gold, "device": "cpu", "workers": 1, "threads": 1}
    size = {"batch_size": 2, "accumulate": 2, "scales": [64, 96], "long": 128, "log_every": 1, "loaders": 1}
    size |= {"precision": "fp32"}  # maps are one place wide: there, torch is wrong in bf16 on a CPU
    length = {"epochs": 1} if "epochs" in whole["train"] else {"steps": 3}
    whole["train"] |= {**small, **size, **length, "warmup": 0, "lr": 1e-3}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(whole))
    run = tmp_path / "run"
    run_stage(str(tmp_path / "small.yaml"), (), str(run), "train", Options(inline=True))
    notes = json.loads((run / "commits/train/part-0000000.json").read_text())["notes"]
    assert (notes["steps"], notes["batches_left_out"], notes["start"].keys()) == (3, 0, {"visual", "text"})
    trained, start = (
        load_file(run / "student/weights.safetensors"),
        start_model(small_training(**small))[0].state_dict(),
    )
    changed = {key for key, value in trained.items() if not torch.equal(value, start[key])}
    frozen = {key for key in trained if key.startswith(("backbone.body.patch_embed.", "backbone.body.layers.0."))}
    assert (frozen <= changed) == (name == "glip_t") and bool(frozen & changed) == (name == "glip_t")
    for part in ("backbone.body.layers.1.", "language_backbone.", "rpn.head."):
        assert any(key.startswith(part) for key in changed)
