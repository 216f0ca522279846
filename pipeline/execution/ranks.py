"""The ranks of a job that trains in parallel: processes of this machine, or of a cluster by Ray Train.

Each rank is a process with a process group of torch and a storage of its own; what a rank has to say, its result or why
it failed, it leaves in the run folder, so that it is the same on one machine and on many.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.execution.heartbeat import Heartbeat
from pipeline.execution.weights import local_config
from pipeline.run.plan import read_plan
from pipeline.run.task import Context, Task, load_class
from pipeline.storage.files import RunFiles
from pipeline.storage.open import open_storage
from stages.stage import Needs, RankedJobStage, UserError


class RankError(Exception):
    """A rank failed, and with it the job."""


@dataclass(frozen=True)
class RankJob:
    """What travels to every rank."""

    context: Context
    task: Task
    needs: Needs
    attempt: str
    folder: str  # working directory: Ray Train puts its own in place, and paths of the config may be relative

    @property
    def world(self) -> int:
        return self.needs.ranks

    def word(self, rank: int) -> str:
        """Where the rank leaves its result, or its failure."""
        return f"state/ranks/{self.attempt}/{rank}.json"


def run_ranks(context: Context, task: Task, needs: Needs, attempt: str) -> dict[str, Any]:
    """Starts all ranks, waits for them and returns the first one's result. Raises RankError, or a rank's UserError."""
    job = RankJob(context, task, needs, attempt, os.getcwd())
    storage = open_storage(context.root)
    try:
        broken = start_on_ray(job) if on_ray() else start_here(job)
        words = [json.loads(data) for rank in range(job.world) if (data := storage.read_or_none(job.word(rank)))]
    finally:
        storage.delete_folder(f"state/ranks/{attempt}")
    failures = sorted((word for word in words if "error" in word), key=lambda word: float(word["at"]))
    if failures:  # the first one is to blame: the others lost their peer
        raise (UserError if failures[0]["user"] else RankError)(failures[0]["error"])
    if broken or len(words) < job.world:
        raise RankError(broken or f"{job.world - len(words)} of {job.world} ranks ended without a word")
    result: dict[str, Any] = words[0]["result"]
    return result


def run_rank(job: RankJob, rank: int) -> None:
    """In the rank's own process, once its process group is there."""
    storage = open_storage(job.context.root)
    if os.path.isdir(job.folder):
        os.chdir(job.folder)
    try:
        stage = load_class(job.task.stage)(local_config(job.context))
        assert isinstance(stage, RankedJobStage)
        beat = Heartbeat(storage, job.task, job.attempt) if rank == 0 else _silent
        io = RunFiles(storage, list(read_plan(storage)), f"{job.attempt}-{rank}", beat, job.task.turned_off)
        word = {"result": stage.run_rank(io, rank, job.world)}
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        said = {"error": f"rank {rank}: {text}", "user": isinstance(error, UserError), "at": time.time()}
        storage.write(job.word(rank), json.dumps({**said, "trace": traceback.format_exc()}).encode())
        raise
    storage.write(job.word(rank), json.dumps(word).encode())


def _silent(done: int, total: int, message: str) -> None:
    """The first rank speaks for all."""


# -- processes of this machine -------------------------------------------------------------------------------------


def start_here(job: RankJob) -> str:
    """Returns what a process that broke left behind, or nothing."""
    import torch

    processes: Any = torch.multiprocessing
    with tempfile.TemporaryDirectory(prefix="phrasebox-ranks-") as folder:
        ranks = processes.start_processes(
            local_rank, (job, f"file://{Path(folder) / 'meeting'}"), nprocs=job.world, join=False, start_method="spawn"
        )
        try:
            while not ranks.join():
                pass
        except (processes.ProcessRaisedException, processes.ProcessExitedException) as error:
            return str(error).strip().splitlines()[-1]
        finally:
            for process in ranks.processes:
                if process.is_alive():
                    process.kill()
    return ""


def local_rank(rank: int, job: RankJob, meeting: str) -> None:
    import torch

    if job.needs.gpu:
        torch.cuda.set_device(rank)
    backend = "nccl" if job.needs.gpu else "gloo"
    torch.distributed.init_process_group(backend, init_method=meeting, rank=rank, world_size=job.world)
    run_rank(job, rank)
    torch.distributed.destroy_process_group()


# -- processes of a Ray --------------------------------------------------------------------------------------------


def on_ray() -> bool:
    """Whether this process is an actor of a Ray: a driver that trains inline starts processes of its own."""
    ray: Any = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized()) and ray.get_runtime_context().get_actor_id() is not None


def start_on_ray(job: RankJob) -> str:
    """Returns Ray Train's words about a rank that broke, or nothing. Raises UserError where Ray has too few devices."""
    import ray

    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "600")  # busy machines import torch for minutes
    from ray.train import RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer

    cluster: Any = ray
    gpu = job.needs.gpu
    kind = "GPU" if gpu else "CPU"
    there = int(cluster.cluster_resources().get(kind, 0))
    if there < job.world:
        name = load_class(job.task.stage).name
        raise UserError(f"{name}: {job.world} ranks need {job.world} {kind}s, and Ray has {there}; ask for fewer")
    with tempfile.TemporaryDirectory(prefix="phrasebox-ranks-") as folder:
        trainer = TorchTrainer(
            ray_rank,
            train_loop_config={"job": job},
            scaling_config=ScalingConfig(num_workers=job.world, use_gpu=gpu),
            torch_config=TorchConfig(backend="nccl" if gpu else "gloo"),
            run_config=RunConfig(name=job.attempt, storage_path=folder),
        )
        try:
            trainer.fit()
        except (ray.exceptions.RayError, TrainingFailedError, RuntimeError) as error:
            return str(error).strip().splitlines()[-1]
    return ""


def ray_rank(settings: dict[str, Any]) -> None:
    from ray.train import get_context

    run_rank(settings["job"], get_context().get_world_rank())
