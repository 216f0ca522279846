"""Which stage writes a folder of the run, and which of its commit records speak of the files there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stages.stage import JobStage, MapStage, Output, ReduceStage, Stage


@dataclass(frozen=True)
class Producer:
    stage: type[Stage]
    output: Output
    by_result: bool  # the record of the job or of the merged result speaks of the files, not those of the parts


Producers = Mapping[str, Producer]  # by folder


def find_producers(stages: Sequence[type[Stage]]) -> dict[str, Producer]:
    """Raises ValueError where two stages write the same folder."""
    found: dict[str, Producer] = {}
    for producer in (producer for stage in stages for producer in _of_stage(stage)):
        folder = producer.output.folder
        if folder in found:
            raise ValueError(f"{found[folder].stage.name} and {producer.stage.name} both write {folder}/")
        found[folder] = producer
    return found


def _of_stage(stage: type[Stage]) -> Iterator[Producer]:
    for output in stage.outputs:
        yield Producer(stage, output, by_result=issubclass(stage, JobStage))
    if issubclass(stage, ReduceStage):
        for output in stage.merged:
            yield Producer(stage, output, by_result=True)
    if issubclass(stage, MapStage) and stage.carries_rows:
        yield Producer(stage, Output(f"rejects/{stage.name}"), by_result=False)


def folders_of(producers: Producers, stage: type[Stage]) -> list[str]:
    return [folder for folder, producer in producers.items() if producer.stage is stage]


def owner(producers: Producers, path: str) -> Producer | None:
    """The producer of a file; the deepest folder counts."""
    folder = path
    while folder:
        folder = folder.rpartition("/")[0]
        if folder in producers:
            return producers[folder]
    return None


def side_tables(stages: Iterable[type[Stage]]) -> Iterator[Producer]:
    for stage in stages:
        yield from (producer for producer in _of_stage(stage) if producer.output.aligned_with is not None)
