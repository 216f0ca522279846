"""A run that is there already, to be read."""

from __future__ import annotations

from pipeline.run.config import CONFIG, load_config
from pipeline.run.plan import PLAN, read_plan
from pipeline.run.producers import find_producers
from pipeline.storage.base import Storage
from pipeline.storage.files import RunFiles
from pipeline.storage.open import open_storage
from stages import stages_of
from stages.stage import UserError


def existing_run(run: str) -> Storage:
    """Raises UserError for a folder that is no run."""
    storage = open_storage(run)
    if not storage.exists(CONFIG) and not storage.exists(PLAN):
        raise UserError(f"{run}: no run here (neither {CONFIG} nor {PLAN}); give the run folder of an earlier run")
    return storage


def read_run(run: str) -> RunFiles:
    """What stages have written that are turned on in the run's config. Raises UserError for a folder that is no run."""
    storage = existing_run(run)
    off = turned_off(run)
    return RunFiles(storage, list(read_plan(storage)), "reader", lambda done, total, message: None, off)


def turned_off(run: str) -> list[str]:
    """Folders of stages that are off in the run's config: what lies there is of an earlier one."""
    config = load_config(None, (), run)
    producers = find_producers(stages_of(config))
    return [folder for folder, producer in producers.items() if not producer.stage.enabled(config)]
