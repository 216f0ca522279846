"""One package or file per stage. STAGES is the order of `phrasebox run`; a new stage is a new file and a line here.

The names are import paths, so that listing the stages imports none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.config import Config
    from stages.stage import Stage

STAGES: dict[str, str] = {
    "ingest": "stages.ingest.stage:IngestStage",
    "curate": "stages.curate.stage:CurateStage",
    "phrases": "stages.phrases.stage:PhrasesStage",
    "label": "stages.label.stage:LabelStage",
    "rescore": "stages.rescore.stage:RescoreStage",
    "filter": "stages.filter.stage:FilterStage",
    "mask": "stages.mask.stage:MaskStage",
    "shard": "stages.shard.stage:ShardStage",
    "audit": "stages.audit.stage:AuditStage",
    "train": "stages.train.stage:TrainStage",
    "evaluate": "stages.evaluate.stage:EvaluateStage",
}


def load_stage(name: str) -> type[Stage]:
    """The class of a stage. Raises KeyError for an unknown name."""
    module, _, attribute = STAGES[name].partition(":")
    stage: type[Stage] = getattr(importlib.import_module(module), attribute)
    return stage


def with_siblings(stage: type[Stage], config: Config) -> list[type[Stage]]:
    """A stage, and the further ones that a config makes of it."""
    return [stage, *stage.siblings(config)]


def stages_of(config: Config) -> list[type[Stage]]:
    """All stages of a run, in their order."""
    return [stage for name in STAGES for stage in with_siblings(load_stage(name), config)]
