"""a model + a benchmark -> evaluation: how good the teacher and the student are, with the protocol named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from model.teacher import Description
from schemas.marks import device_type
from schemas.settings import settings_of
from stages.ingest.sources import absolute
from stages.label.teacher import describe, open_scheduler, user_errors
from stages.mask.segmenter import open_segmenter
from stages.stage import Input, JobStage, Needs, Output, RunIO, UserError
from stages.train.stage import WEIGHTS

if TYPE_CHECKING:
    from model.scheduler import Scheduler
    from model.segmenter import Segmenter
    from schemas.config import Config

FOLDER = "evaluation"
# In the headline of a result.
FAILED, NOT_ASKED, UNKNOWN = COUNTED = "images failed", "phrases not asked for", "mentions of unknown categories"
BENCHMARKS = {  # what `data` names, where the benchmark lies on disk
    "scenes": "",
    "labels": "",
    "coco": "an instances JSON",
    "lvis": "an LVIS annotation JSON",
    "flickr30k": "a list of ids beside Sentences/ and Annotations/, their folder, or an MDETR-style JSON",
    "refcoco": "refs(unc).json with instances.json beside it",
}
WITH_MASKS = ("scenes", "coco", "refcoco")  # where the section `mask` has a model


class EvaluateStage(JobStage):
    name: ClassVar[str] = "evaluate"
    version: ClassVar[int] = 3
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("student", need="if_present"),
        Input("labels", need="if_present"),  # for the benchmark `labels`, with what follows
        Input("phrases", ("key", "phrases.start", "phrases.end", "phrases.norm"), need="if_present"),
        Input("gold", need="if_present"),
        Input("rejects/label", need="if_present"),
    )
    outputs: ClassVar[tuple[Output, ...]] = (Output(FOLDER, scope="run"),)
    depends_on: ClassVar[tuple[str, ...]] = (
        "evaluate",
        "label.precision",
        "label.device",
        "label.short",
        "label.long",
        "phrases.backend",
    )

    def __init__(self, config: Config) -> None:
        self.whole = config
        self.config = config.evaluate

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        evaluate = config.evaluate
        if evaluate.benchmark not in BENCHMARKS:
            raise UserError(
                f"evaluate.benchmark: no benchmark {evaluate.benchmark!r}; there are {', '.join(BENCHMARKS)}"
            )
        if evaluate.split is not None and evaluate.benchmark != "refcoco":
            raise UserError(f"evaluate.split: {evaluate.benchmark} has no splits; leave it out")
        data = BENCHMARKS[evaluate.benchmark]
        if data and (evaluate.data is None or evaluate.images is None):
            raise UserError(
                f"evaluate: {evaluate.benchmark} needs `data` ({data}) and `images` (the folder of its images)"
            )
        return {name: absolute(path) for name in ("data", "images") if (path := getattr(evaluate, name))}

    @classmethod
    def digests(cls, config: Config) -> dict[str, Any]:
        evaluate = config.evaluate
        more: dict[str, Any] = {}
        if evaluate.benchmark == "refcoco" and evaluate.data:
            from stages.evaluate.refcoco_gold import instances_of

            more["instances_sha256"] = sha256_of(instances_of(evaluate.data))
        if evaluate.benchmark in WITH_MASKS and config.mask.model is not None:
            more["mask"] = {**settings_of(config, ("mask",)), "model": config.mask.model_sha256}
        return {"teacher": describe(config).to_json(), "data_sha256": sha256_of(evaluate.data or ""), **more}

    @classmethod
    def needs(cls, config: Config) -> Needs:
        return Needs(gpu=device_type(config.label.device) == "cuda")

    def run_job(self, io: RunIO) -> dict[str, Any]:
        import torch

        torch.set_num_threads(self.whole.train.threads)
        if self.config.benchmark == "labels":
            return {"labels": self._measure_labels(io)}
        summary: dict[str, Any] = {}
        models = [name for name in self.config.models if name == "teacher" or WEIGHTS in io.files("student")]
        if not models:
            raise UserError("evaluate.models: no model is left (the run has no student); train one, or name teacher")
        for number, name in enumerate(models):
            model, description = self._open_model(io, name)
            torch.set_num_threads(self.whole.train.threads)
            with user_errors():  # what a tuned prompt is asked for that it says nothing of
                figures = self._measure(model, io, number, len(models))
            result = {
                "model": {"role": name, **description.to_json()},
                "benchmark": self.config.benchmark,
                "settings": self.config.model_dump(mode="json"),
                **figures,
            }
            self._write(io, name, result)
            summary[name] = headline(result)
        return summary

    def _measure_labels(self, io: RunIO) -> dict[str, Any]:
        """What the teacher has already said, against gold: no model is asked."""
        from stages.evaluate.labels import evaluate_labels

        result = {
            "model": {"role": "teacher", **Description.of(self.whole.label).to_json()},
            "benchmark": self.config.benchmark,
            "settings": self.config.model_dump(mode="json"),
            **evaluate_labels(io, self.config.threshold, lambda done: io.progress(done, 0)),
        }
        self._write(io, "teacher", result)
        at = result["agreement"]["all"]["at"]
        return {name: at[name] for name in ("precision", "recall", "mean_iou")}

    def _write(self, io: RunIO, name: str, result: dict[str, Any]) -> None:
        with io.create(f"{FOLDER}/{self.config.benchmark}-{name}.json") as stream:
            stream.write((json.dumps(result, indent=1, sort_keys=True) + "\n").encode())

    def _open_model(self, io: RunIO, name: str) -> tuple[Scheduler, Description]:
        from model.scheduler import Scheduler

        label = self.whole.label
        if name == "teacher":
            return open_scheduler(label), Description.of(label)
        from safetensors.torch import load

        from model.device import forbid_tf32
        from model.glip import Glip
        from model.grounding import GlipGrounder

        forbid_tf32()
        variant = self.whole.train.variant
        with io.open(WEIGHTS) as stream:
            data = stream.read()
        glip = Glip.from_official(variant, load(data)).to(label.device)
        glip.precision = label.precision
        of_teacher = variant == label.teacher
        sides = (label.short, label.long) if of_teacher else (glip.variant.short, glip.variant.long)
        description = Description(variant, variant, hashlib.sha256(data).hexdigest())
        return Scheduler(GlipGrounder(glip, sides), self.config.batch_size), description

    def _measure(self, model: Scheduler, io: RunIO, number: int, models: int) -> dict[str, Any]:
        config = self.config
        total = config.count * models

        def progress(done: int) -> None:
            io.progress(number * config.count + done, total, f"model {number + 1} of {models}")

        if config.benchmark != "scenes":
            return self._measure_on_disk(model, io, progress)
        from stages.evaluate.scenes import evaluate_scenes
        from stages.phrases import NounPhraseExtractor

        extractor = NounPhraseExtractor(self.whole.phrases.backend)
        asked = (config.count, config.seed, config.threshold, progress)
        return evaluate_scenes(model, extractor, *asked, segmenter=self._segmenter)

    @cached_property
    def _segmenter(self) -> Segmenter | None:
        """Of the section `mask`, where it names a model and the benchmark has true masks."""
        import torch

        if self.whole.mask.model is None or self.config.benchmark not in WITH_MASKS:
            return None
        segmenter = open_segmenter(self.whole.mask)
        torch.set_num_threads(self.whole.train.threads)
        return segmenter

    def _measure_on_disk(self, model: Scheduler, io: RunIO, progress: Callable[[int], None]) -> dict[str, Any]:
        from stages.evaluate.coco import evaluate_coco
        from stages.evaluate.flickr30k import evaluate_flickr30k
        from stages.evaluate.lvis import evaluate_lvis
        from stages.evaluate.refcoco import evaluate_refcoco

        config, segmenter = self.config, self._segmenter
        measure: dict[str, Callable[..., dict[str, Any]]] = {
            "coco": partial(evaluate_coco, segmenter=segmenter),
            "refcoco": partial(evaluate_refcoco, split=config.split or "val", segmenter=segmenter),
            "lvis": partial(evaluate_lvis, per_prompt=config.per_prompt),
            "flickr30k": evaluate_flickr30k,
        }
        return measure[config.benchmark](model, io, config.data, config.images, config.count, progress)


def sha256_of(path: str) -> str | None:
    """Of a file of this machine; None for what is none."""
    file = Path(path.removeprefix("file://"))
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def headline(result: dict[str, Any]) -> dict[str, Any]:
    """For the summary of a run: `figures`, and what is COUNTED, where there is any."""
    counts = {
        FAILED: sum(result["failed"].values()),
        NOT_ASKED: sum(result.get("not_asked", {}).values()),
        UNKNOWN: result.get("unknown_categories", 0),
    }
    return {**figures(result), **{name: count for name, count in counts.items() if count}}


def figures(result: dict[str, Any]) -> dict[str, float]:
    """APs, IoUs, accuracy and R@k in percent, but for classes that no image shows; shares."""
    if result["benchmark"] in ("coco", "lvis"):
        boxes = {name: result[name] for name in ("AP", "AP50", "APr", "APc", "APf") if result.get(name) is not None}
        mask = result.get("masks", {}).get("AP")
        return boxes | ({} if mask is None else {"mask AP": mask})
    if result["benchmark"] == "refcoco":
        masks = {name: result[name] for name in ("oIoU", "mIoU", "P@0.5") if name in result}
        return masks | {"box accuracy": result["box_accuracy"]}
    if result["benchmark"] == "flickr30k":
        recall = result["recall"]
        return {f"{protocol} R@1": recall[protocol]["R@1"] for protocol in ("any_box", "merged_box")}
    agreement = result["agreement"]["seen"]["at"]
    return {
        **{
            "AP" if tier == "all" else f"AP {tier}": values["AP"]
            for tier, values in result["detection"].items()
            if tier != "by_noun" and values["AP"] is not None
        },
        **({"mask mIoU": result["masks"]["mIoU"]} if "mIoU" in result.get("masks", {}) else {}),
        "precision": agreement["precision"],
        "recall": agreement["recall"],
    }
