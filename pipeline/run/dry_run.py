"""`--dry-run`: what a run would make, counted from the plan and the records; nothing is written."""

from __future__ import annotations

from typing import Any

from pipeline.run.runner import Selection
from pipeline.run.state import RunState

Due = dict[str, set[int]]  # parts to be made, by stage


def dry_run(state: RunState, selection: Selection, workers: int) -> list[str]:
    """One line a stage: parts and pairs to make, and the hours it takes at the rate of the parts made before."""
    pairs = sum(piece.stop - piece.start for piece in state.plan.values())
    lines = [f"{len(state.plan):,} parts, {pairs:,} pairs in the plan"]
    due: Due = {}
    hours, unknown = 0.0, []
    for stage in selection.stages:
        if stage.kind == "job":
            lines.append(f"  {stage.name:9} {'to be made' if _job_due(state, stage, due, selection) else 'done'}")
            continue
        due[stage.name] = _due_parts(state, stage, due, selection)
        text, took = _cost(state, stage, due[stage.name], workers)
        lines.append(f"  {stage.name:9} {text}")
        if took is None:
            unknown.append(stage.name)
        else:
            hours += took
    total = f"about {hours:.1f} h with {workers} workers"
    return [*lines, total + (f", without {', '.join(unknown)}: no rate is known yet" if unknown else "")]


def _due_parts(state: RunState, stage: type[Any], due: Due, selection: Selection) -> set[int]:
    """Parts whose record does not hold, and those that come after a part that is to be made."""
    wanted = set(state.plan) if selection.parts is None else set(state.plan) & set(selection.parts)
    if selection.force:
        return wanted
    found = wanted & set().union(*(due.get(name, set()) for name in _before(state, stage)))
    listed = state.listed(stage)
    for part in wanted - found:
        task = state.part_task(stage, part)
        if task is None or state.is_due(stage, task, listed):
            found.add(part)
    return found


def _job_due(state: RunState, stage: type[Any], due: Due, selection: Selection) -> bool:
    if selection.force or any(due.get(name) for name in _before(state, stage)):
        return True
    task = state.job_task(stage)
    return task is None or state.is_due(stage, task, state.listed(stage))


def _before(state: RunState, stage: type[Any]) -> list[str]:
    """Names of the stages whose datasets this one reads."""
    producers = [state.producer(item.dataset) for item in stage.inputs]
    return [producer.name for producer in producers if producer is not None]


def _cost(state: RunState, stage: type[Any], parts: set[int], workers: int) -> tuple[str, float | None]:
    if not parts:
        return "done", 0.0
    pairs = sum(state.plan[part].stop - state.plan[part].start for part in parts)
    text = f"{len(parts):,} parts, {pairs:,} pairs to make"
    records = [record for part, record in state.records(stage).items() if part is not None]
    made = sum(record.counts.in_ for record in records)
    if not made:
        return f"{text}, at an unknown rate", None
    hours = pairs * sum(record.seconds for record in records) / made / workers / 3600
    return f"{text}, about {hours:.2f} h", hours
