"""Curated and audited runs, made by the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.similarity_models import save_checkpoint
from tests.stages.curate.photographs import ALTERATIONS, jpeg, photograph
from tests.stages.curate.test_stage import arguments, phrasebox
from tests.stages.tars import sample, tar

ODD = "</script><script>document.title='owned'</script>"
ODD_NAME = '9"><img src=x onerror=alert(1)>'
WORDS = ("a red ball on a table", "two dogs in a garden")
Images = dict[str, tuple[bytes, str]]  # by name: an image and its caption


def audited(run: Path, *given: str) -> dict[str, Any]:
    phrasebox("audit", "--run", str(run), *given, "--inline")
    stats: dict[str, Any] = json.loads((run / "report" / "stats.json").read_text("utf-8"))
    return stats


def write_images(path: Path, images: Images) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tar(*(entry for name, (data, caption) in images.items() for entry in sample(name, caption, data))))


def perceptual_images() -> dict[str, Images]:
    """By tar: originals; copies, of one of them all kinds; others, exact copies, and one that is narrow."""
    originals = {f"0{seed:02d}": (jpeg(photograph(seed)), f"a red ball {seed}") for seed in range(10)}
    kinds = list(ALTERATIONS)
    copies = {
        f"1{i:02d}": (jpeg(ALTERATIONS[kind](photograph(0 if i < 9 else i - 8))), "a photo of a dog")
        for i, kind in enumerate(kinds)
    }
    others = {f"2{seed:02d}": (jpeg(photograph(50 + seed)), "a blue box") for seed in range(6)}
    others |= {"210": originals["005"], "211": (originals["000"][0], ODD), ODD_NAME: (others["203"][0], ODD)}
    others["212"] = (jpeg(photograph(90, (220, 40))), "a long train")
    return {"cc/00000.tar": originals, "cc/00001.tar": copies, "laion/part/00000.tar": others}


def perceptual_run(folder: Path, **more: Any) -> Path:
    """With a benchmark that has three images of the corpus, and one that it has not."""
    for name, images in perceptual_images().items():
        write_images(folder / "corpus" / name, images)
    benchmark = folder / "val2017"
    benchmark.mkdir(exist_ok=True)
    (benchmark / "<b>1.jpg").write_bytes(jpeg(ALTERATIONS["half the size"](photograph(53))))
    (benchmark / "2.jpg").write_bytes(jpeg(ALTERATIONS["JPEG 30"](photograph(9))))
    (benchmark / "3.jpg").write_bytes(jpeg(photograph(1000)))
    settings = {
        "duplicates": "perceptual",
        "against": [{"source": str(benchmark), "name": "val:2017"}],
        "max_aspect": 4,
    }
    phrasebox(*arguments(folder / "corpus", folder / "run", **{**settings, **more}), "--inline")
    return folder / "run"


def vector_run(folder: Path) -> Path:
    """With a CLIP of random weights: near duplicates, clusters and similarities of captions."""
    images: Images = {f"0{seed:02d}": (jpeg(photograph(seed)), WORDS[seed % 2]) for seed in range(40)}
    images |= {f"1{seed:02d}": (jpeg(photograph(seed), 60), WORDS[seed % 2]) for seed in range(6)}
    images["200"] = (images["003"][0], "another caption")
    write_images(folder / "corpus" / "00000.tar", images)
    settings = {"duplicates": "embedding", "embedder": str(save_checkpoint("clip", folder / "clip"))}
    settings |= {"min_cosine": 0.98, "clusters": 2, "min_similarity": -1.0}
    phrasebox(*arguments(folder / "corpus", folder / "run", **settings), "--inline")
    return folder / "run"
