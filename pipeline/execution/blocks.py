"""The blocks of a merge as Ray tasks, on the cores of all workers. Only names travel; data lies in scratch files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from pipeline.execution.ranks import on_ray
from pipeline.execution.ray_session import check_memory
from pipeline.storage.open import open_storage
from pipeline.storage.scratch import RunBlocks, ScratchFolder, run_here
from stages.stage import Block

RETRIES = 3  # of a block whose worker died
TICK = 1.0  # seconds
MANY = 1 << 16  # blocks under way at a time, where the number of workers is not limited


def block_runner(workers: int | None) -> RunBlocks:
    """For a merge in this process: on the Ray that it is an actor of, at most `workers` blocks at a time; else here."""
    return partial(run_on_ray, limit=workers or MANY) if on_ray() else run_here


def run_on_ray(
    scratch: ScratchFolder, blocks: Sequence[Block], threads: int, memory: int, limit: int = MANY
) -> Iterator[None]:
    """Raises what a block raises; RuntimeError where its workers died; UserError where no machine has the memory."""
    import ray

    check_memory("a block of the merge", memory)
    reserved = {"memory": memory} if memory else {}
    task: Any = ray.remote(run_block).options(num_cpus=1, max_retries=RETRIES, **reserved)
    waiting = iter(blocks)
    under_way = {start(task, scratch, block): block for block in islice(waiting, limit)}
    try:
        while under_way:
            for reference in ray.wait(list(under_way), timeout=TICK)[0]:
                finish(reference, under_way.pop(reference))
                under_way |= {start(task, scratch, block): block for block in islice(waiting, 1)}
                yield
    finally:
        for reference in under_way:
            ray.cancel(reference)


def start(task: Any, scratch: ScratchFolder, block: Block) -> Any:
    """A reference to the block under way."""
    return task.remote(scratch.storage.root, scratch.folder, block)


def finish(reference: Any, block: Block) -> None:
    import ray

    try:
        ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        said = " ".join(str(error).split())[:300]
        raise RuntimeError(f"{block.name} lost its worker {RETRIES + 1} times: {said}") from error


def run_block(root: str, folder: str, block: Block) -> None:
    """In a worker's own process."""
    block.run(ScratchFolder(open_storage(root), folder))
