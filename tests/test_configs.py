"""Every config in the repository is one that `phrasebox` takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.network import GlipNetwork
from model.variants import get_variant
from pipeline.run.config import load_config
from stages.train.optimizer import freeze

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(path for folder in ("configs", "recipes", "experiments") for path in (ROOT / folder).rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_config_is_accepted(path: Path, tmp_path: Path) -> None:
    config = load_config(str(path), [], None)
    assert config.run.startswith("runs/") and config.corpus != ""


@pytest.mark.parametrize("name", ["glip_t", "glip_l"])
def test_the_published_settings_are_those_of_the_published_trainings(name: str) -> None:
    """The values of GLIP's own configs and code, once more by hand."""
    train = load_config(str(ROOT / f"configs/pretrain_{name}.yaml"), [], None).train
    both = {
        **{"batch_size": 64, "lr": 1e-4, "text_lr": 1e-5, "schedule": "step", "warmup": 2000, "clip": 1.0, "flip": 0.5},
        **{"scales": (480, 560, 640, 720, 800), "long": 1333, "negative_categories": 85, "regularise": True},
        **{"checkpointing": True, "shared_regions": False, "ungrounded": "absent", "phrase_softmax": 0.0},
    }
    own = {
        "glip_t": {"epochs": 30, "weight_decay": 1e-4, "weight_decay_schedule": "constant", "ema": 0.999, "frozen": ()},
        "glip_l": {"epochs": None, "steps": 1_000_000, "weight_decay": 0.01, "weight_decay_schedule": "step", "ema": 0}
        | {"negative_captions": 0.6, "max_negative_captions": 20},
    }[name]
    assert {key: getattr(train, key) for key in both | own} == both | own


def test_what_glip_l_keeps_frozen_is_its_first_stage() -> None:
    train = load_config(str(ROOT / "configs/pretrain_glip_l.yaml"), [], None).train
    with torch.device("meta"):
        glip = GlipNetwork(get_variant("glip-l"))
    freeze(glip, train.frozen)
    frozen = {name for name, parameter in glip.named_parameters() if not parameter.requires_grad and "backbone" in name}
    assert {".".join(name.split(".")[:4]) for name in frozen} == {
        *("backbone.body.patch_embed.proj", "backbone.body.patch_embed.norm", "backbone.body.layers.0"),
    }
    assert {name.split(".")[4] for name in frozen if "layers" in name} == {"blocks", "downsample"}
