"""What vectors decide, as a user runs it: growth, workers and kills change no byte."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.cli.app import app
from schemas.config import Config
from stages.curate.neighbours import ByPlace
from stages.curate.stage import CurateStage
from stages.images import decode_rgb
from stages.stage import Needs, Scratch
from tests.digests import digests
from tests.similarity_models import save_checkpoint, save_image_network
from tests.stages.curate.photographs import ALTERATIONS, jpeg, photograph, write_pair
from tests.stages.curate.test_stage import arguments, curate, decisions, phrasebox, rows, table_of, write_tar
from tests.stages.image_files import png_chunk
from tests.waiting import ROOT, finish_what_is_killed

KINDS = ("half the size", "twice the size", "JPEG 30")  # after which a network of random weights sees the same
LEAST = 0.99
COUNT = 20  # originals, in the first part


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_image_network("dinov2", tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def images() -> dict[str, bytes]:
    """By name: originals; copies of some; others, one with the bytes of an original, and one that is no image."""
    found = {f"0{seed:02d}": jpeg(photograph(seed)) for seed in range(COUNT)}
    found |= {f"1{seed:02d}": jpeg(ALTERATIONS[KINDS[seed % 3]](photograph(seed))) for seed in range(12)}
    found |= {f"2{seed:02d}": jpeg(photograph(100 + seed)) for seed in range(10)}
    header = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 30, 8, 0, 0, 0, 0))
    broken = header + png_chunk(b"IDAT", b"no pixels") + png_chunk(b"IEND", b"")
    return found | {"210": found["003"], "211": broken}


@pytest.fixture(scope="module")
def corpus(images: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("corpus")
    for part in "012":
        write_tar(source / f"{part}.tar", {name: data for name, data in images.items() if name[0] == part})
    return source


def settings(network: Path, **more: Any) -> dict[str, Any]:
    small = {"sample": COUNT, "clusters": 2, "min_cosine": LEAST}
    return {"duplicates": "embedding", "embedder": str(network), **small, **more}


@pytest.fixture(scope="module")
def whole(corpus: Path, network: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    curate(corpus, run, **settings(network))
    return run


@pytest.fixture(scope="module")
def vectors(images: dict[str, bytes], network: Path) -> dict[str, np.ndarray]:
    """By the library, an image at a time."""
    import torch
    import transformers

    from tests.similarity_models import stretched_processor

    model = transformers.Dinov2Model.from_pretrained(network).eval()
    found = {}
    for name, data in images.items():
        if name != "211":
            pixels = stretched_processor()(images=[decode_rgb(data, 10**7)], return_tensors="pt")
            with torch.no_grad():
                vector = model(**pixels).pooler_output[0].double().numpy()
            found[name] = vector / np.linalg.norm(vector)
    return found


def test_images_with_near_vectors_are_duplicates_of_the_first(whole: Path, vectors: dict[str, np.ndarray]) -> None:
    """Decided here from the library's vectors, each image with all before it."""
    first: dict[str, str] = {}
    for name, vector in vectors.items():
        near = [first[other] for other in first if vectors[other] @ vector >= LEAST]
        first[name] = min(near, default=name)
    found = decisions(whole)
    assert found.pop("211") == (None, None) and found.pop("210") == ("exact_duplicate", "003")
    assert {name: kept for name, (_, kept) in found.items() if kept} == {
        name: other for name, other in first.items() if name not in (other, "210")
    }
    assert {reason for reason, kept in found.values() if kept} == {"near_duplicate"}
    copies = {f"1{seed:02d}" for seed in range(12)}
    assert all(found[name] == ("near_duplicate", f"0{name[1:]}") for name in copies)
    assert len([name for name, (reason, _) in found.items() if reason is None]) == COUNT + 10


def test_vectors_and_clusters_are_kept(whole: Path, vectors: dict[str, np.ndarray]) -> None:
    names = {row["key"]: row["source_id"] for row in rows(whole, "pairs")}
    kept = {names[row["key"]]: row["embedding"] for row in rows(whole, "summaries/curate")}
    assert kept.pop("211") is None
    for name, data in kept.items():
        assert np.frombuffer(data, "<f2").astype(float) == pytest.approx(vectors[name], abs=2e-3)
    centres = pq.read_table(whole / "summaries/clusters/centres.parquet").to_pylist()
    assert sum(row["size"] for row in centres) == COUNT and len(centres) == 1  # too few images for more
    clusters = {names[row["key"]]: row["cluster"] for row in rows(whole, "curation")}
    assert clusters.pop("211") is None and set(clusters.values()) == {0}
    assert "all in order" in phrasebox("verify", str(whole))


def test_a_corpus_that_grows_ends_as_if_it_had_been_whole(
    corpus: Path, whole: Path, network: Path, tmp_path: Path
) -> None:
    source, run, again = tmp_path / "source", tmp_path / "run", tmp_path / "again"
    shutil.copytree(corpus, source)
    assert curate(source, again, **settings(network)) == decisions(whole)
    for path in source.iterdir():
        path.unlink()
    for number in range(3):
        (source / f"{number}.tar").write_bytes((corpus / f"{number}.tar").read_bytes())
        curate(source, run, **settings(network))
        assert files(run) == files(again, number + 1)


def files(run: Path, parts: int = 1000) -> dict[str, str]:
    """sha256 of every data file of the first parts, and of those of the whole run."""
    found = digests(run, ("summaries", "curation", "phrases"), "*.parquet")
    names = {path: path.rpartition("/")[2] for path in found}
    return {
        path: found[path] for path, name in names.items() if not name.startswith("part-") or int(name[5:12]) < parts
    }


@pytest.mark.slow
def test_a_run_on_two_workers_that_was_killed_ends_with_the_same_bytes(
    corpus: Path, whole: Path, network: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    given = arguments(corpus, run, **settings(network))
    command = [sys.executable, "-m", "pipeline.cli", *given, "--workers", "2"]
    finish_what_is_killed(command, run / "commits/curate/part-0000000.json")
    assert files(run) == files(whole)


DIES = """
import os, signal
from pipeline.cli.app import app
from stages.curate.neighbours import ByPlace

run = ByPlace.run

def dying(block, scratch):
    run(block, scratch)
    os.kill(os.getpid(), signal.SIGKILL)

ByPlace.run = dying
app()
"""


def test_a_search_that_was_killed_goes_on_from_its_blocks(
    corpus: Path, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed when a cluster is compared, which is not compared again; the bytes are those of an undisturbed run."""
    small = settings(network, sample=32, memory=1e-6, threads=1)
    curate(corpus, tmp_path / "calm", **small)
    run = tmp_path / "run"
    command = [sys.executable, "-c", DIES, *arguments(corpus, run, **small), "--inline"]
    killed = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = {path.name for path in (run / "state/scratch/like").rglob("*-clusters-*.npy")}
    compared, compare = [], ByPlace.run

    def counted(block: ByPlace, scratch: Scratch) -> None:
        compared.append(block.name.rpartition("/")[2])
        compare(block, scratch)

    monkeypatch.setattr(ByPlace, "run", counted)
    curate(corpus, run, **small)
    assert files(run) == files(tmp_path / "calm")
    assert len(done) == 1 and compared and not done & set(compared)


def test_the_next_one_is_kept_when_the_first_is_removed(corpus: Path, network: Path, tmp_path: Path) -> None:
    """Its vector takes part no more, in none of its copies; the clusters stay."""
    run, ids = tmp_path / "run", tmp_path / "ids.txt"
    before = curate(corpus, run, **settings(network))
    assert before["103"] == ("near_duplicate", "003") and before["210"] == ("exact_duplicate", "003")
    centres = (run / "summaries/clusters/centres.parquet").read_bytes()
    ids.write_text("003\n")
    phrasebox("remove", str(run), "--source-ids", str(ids), "--inline")
    found = decisions(run)
    assert found == {name: entry for name, entry in before.items() if name != "003"} | {
        "103": (None, None),
        "210": ("near_duplicate", "103"),
    }
    assert (run / "summaries/clusters/centres.parquet").read_bytes() == centres
    assert "003" not in {row["source_id"] for row in rows(run, "pairs")} and len(rows(run, "summaries/curate")) == len(
        found
    )
    assert "all in order" in phrasebox("verify", str(run))


def test_an_image_that_is_there_at_last_is_kept_and_its_copies_are_not(network: Path, tmp_path: Path) -> None:
    """`retry` of what ingest rejected decides again about the parts after it, whose vectors stay."""
    images = {name: photograph(seed) for seed, name in enumerate("abc")}
    lines = [f"{name}.jpg,a red ball" for name in ("late", *"abc", "copy")]
    source = table_of(tmp_path / "source", lines, copy=ALTERATIONS["half the size"](photograph(9)), **images)
    run = tmp_path / "run"
    phrasebox(*arguments(source, run, **settings(network, sample=1000)), "--set=part_size=4", "--inline")
    assert [row["reason"] for row in rows(run, "curation")] == [None] * 4
    before = (run / "commits/curate/part-0000001.json").read_bytes()
    (source.parent / "late.jpg").write_bytes(jpeg(photograph(9)))
    phrasebox("retry", str(run), "--reason", "missing_image", "--inline")
    found = rows(run, "curation")
    assert [row["reason"] for row in found] == [None, None, None, None, "near_duplicate"]
    assert found[-1]["duplicate_of"] == rows(run, "pairs")[0]["key"] and len(rows(run, "summaries/curate")) == 5
    assert (run / "commits/curate/part-0000001.json").read_bytes() == before
    assert "all in order" in phrasebox("verify", str(run))


def test_images_like_those_of_a_benchmark_leave_with_all_that_is_like_them(
    corpus: Path, network: Path, images: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "val2017"
    folder.mkdir()
    (folder / "17.jpg").write_bytes(jpeg(ALTERATIONS["half the size"](photograph(2))))
    (folder / "18.jpg").write_bytes(images["205"])
    found = curate(corpus, tmp_path / "run", **settings(network, against=[{"source": str(folder)}]))
    leaks = {name for name, (reason, _) in found.items() if reason == "benchmark_leak"}
    assert leaks == {"002", "102", "205"}
    names = {row["key"]: row["source_id"] for row in rows(tmp_path / "run", "pairs")}
    of = {names[row["key"]]: row["duplicate_of"] for row in rows(tmp_path / "run", "curation")}
    assert [of[name] for name in sorted(leaks)] == ["val2017:17.jpg", "val2017:17.jpg", "val2017:18.jpg"]
    assert "bits" not in pq.read_schema(tmp_path / "run/summaries/curate/part-0000000.parquet").names


def test_an_embedder_alone_leaves_out_nothing_and_finds_clusters(corpus: Path, network: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    found = curate(corpus, run, **{**settings(network), "duplicates": "off", "sample": 1000})
    assert set(found.values()) == {(None, None)} and len(found) == COUNT + 24
    clusters = {row["cluster"] for row in rows(run, "curation")}
    assert clusters == {0, 1, None}
    again = arguments(corpus, run, **{**settings(network), "duplicates": "off", "sample": 1000})
    assert "result made" not in phrasebox(*again, "--inline")


def test_clusters_are_made_again_when_asked_for(corpus: Path, network: Path, tmp_path: Path) -> None:
    source, run = tmp_path / "source", tmp_path / "run"
    source.mkdir()
    centres = run / "summaries/clusters/centres.parquet"
    (source / "0.tar").write_bytes((corpus / "0.tar").read_bytes())
    curate(source, run, **settings(network, sample=1000))
    first = pq.read_table(centres).to_pylist()
    for name in ("1.tar", "2.tar"):
        (source / name).write_bytes((corpus / name).read_bytes())
    curate(source, run, **settings(network, sample=1000))
    assert pq.read_table(centres).to_pylist() == first and sum(row["size"] for row in first) == COUNT
    curate(source, run, **settings(network, sample=1000, again=1))
    assert sum(row["size"] for row in pq.read_table(centres).to_pylist()) == COUNT + 22


# -- captions ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight images with captions of their own, and one image with two captions."""
    source = tmp_path_factory.mktemp("captioned")
    words = ["red", "a dog", "blue box", "seven cats", "x", "the sea", "old town", "tree"]
    for number, caption in enumerate(words):
        write_pair(source, f"{number}", photograph(number), caption)
    write_pair(source, "8", photograph(3), "dog")
    return source


def similarities_of(run: Path) -> dict[str, float | None]:
    names = {row["key"]: row["source_id"] for row in rows(run, "pairs")}
    return {names[row["key"]]: row["similarity"] for row in rows(run, "curation")}


def test_captions_that_do_not_fit_are_left_out(captioned: Path, tmp_path: Path) -> None:
    clip, run = save_checkpoint("clip", tmp_path / "clip"), tmp_path / "run"
    found = curate(captioned, run, embedder=str(clip), duplicates="off")
    assert set(found.values()) == {(None, None)}
    values = similarities_of(run)
    before = (run / "commits/curate/part-0000000.json").read_bytes()
    least = sorted(value for value in values.values() if value is not None)[4]
    given = arguments(captioned, run, embedder=str(clip), duplicates="exact", min_similarity=least)
    phrasebox(*given, "--inline")
    assert similarities_of(run) == values and None not in values.values() and len(set(values.values())) == 9
    reasons = {row["key"]: row["reason"] for row in rows(run, "curation")}
    names = {row["source_id"]: row["key"] for row in rows(run, "pairs")}
    low = {name for name, value in values.items() if value is not None and value < least}
    assert {name for name, key in names.items() if reasons[key] == "low_similarity"} == low and len(low) == 4
    assert (run / "commits/curate/part-0000000.json").read_bytes() == before  # no image was looked at again
    assert "all in order" in phrasebox("verify", str(run))


# -- balance and retrieval ---------------------------------------------------------------------------------------------


def by_hand(vectors: dict[str, np.ndarray], centres: list[dict[str, Any]]) -> dict[str, tuple[int, float]]:
    """Cluster and closeness of each image, by its name."""
    middles = np.stack([np.frombuffer(row["centre"], "<f2").astype(float) for row in centres])
    stored = {name: vector.astype(np.float16).astype(float) for name, vector in vectors.items()}
    return {name: (int((middles @ row).argmax()), float((middles @ row).max())) for name, row in stored.items()}


def test_clusters_in_excess_are_cut_and_rare_ones_kept(
    corpus: Path, network: Path, vectors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """The sample is the whole corpus here. Each cluster keeps its eight nearest images that are no copies."""
    run = tmp_path / "run"
    given = arguments(corpus, run, **settings(network, sample=1000, keep_per_cluster=8))
    phrasebox(*given, "--inline")
    names = {row["key"]: row["source_id"] for row in rows(run, "pairs")}
    reasons = {names[row["key"]]: row["reason"] for row in rows(run, "curation")}
    clusters = {names[row["key"]]: row["cluster"] for row in rows(run, "curation")}
    places = by_hand(vectors, pq.read_table(run / "summaries/clusters/centres.parquet").to_pylist())
    assert {name: number for name, (number, _) in places.items()} == {
        name: number for name, number in clusters.items() if number is not None
    }
    single = [name for name in places if reasons[name] in (None, "crowded_cluster")]
    for number in (0, 1):
        nearest = sorted((name for name in single if places[name][0] == number), key=lambda name: -places[name][1])
        assert [name for name in nearest if reasons[name] is None] == nearest[:8]
    assert len(single) == COUNT + 10 and "crowded_cluster" in reasons.values()
    assert "all in order" in phrasebox("verify", str(run))
    counts = json.loads((run / "commits/phrases/part-0000000.json").read_text())["counts"]
    assert counts["set_aside"]["crowded_cluster"] == sum(
        reasons[name] == "crowded_cluster" for name in reasons if name[0] == "0"
    )


def test_what_is_near_a_seed_set_is_kept(
    corpus: Path, network: Path, images: dict[str, bytes], vectors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    seeds, run = tmp_path / "seeds", tmp_path / "run"
    seeds.mkdir()
    for name in ("004", "203"):
        (seeds / f"{name}.jpg").write_bytes(images[name])
    near = [{"source": str(seeds)}]
    given = arguments(corpus, run, **settings(network, sample=1000, near=near, near_k=3))
    phrasebox(*given, "--inline")
    names = {row["key"]: row["source_id"] for row in rows(run, "pairs")}
    reasons = {names[row["key"]]: row["reason"] for row in rows(run, "curation")}
    single = [name for name in vectors if reasons[name] in (None, "far_from_seeds")]
    expected = set()
    for seed in ("004", "203"):
        expected |= set(sorted(single, key=lambda name: -(vectors[name] @ vectors[seed]))[:3])
    assert {name for name in single if reasons[name] is None} == expected and {"004", "203"} <= expected
    (seeds / "203.jpg").unlink()
    phrasebox(*given, "--inline")
    found = {names[row["key"]]: row["reason"] for row in rows(run, "curation")}
    assert sum(found[name] is None for name in single) == 3


def test_balance_of_a_corpus_that_grows(corpus: Path, network: Path, images: dict[str, bytes], tmp_path: Path) -> None:
    """Radii are settled on the first part, whatever comes later."""
    seeds, source = tmp_path / "seeds", tmp_path / "source"
    seeds.mkdir()
    (seeds / "a.jpg").write_bytes(images["004"])
    shutil.copytree(corpus, source)
    more = settings(network, clusters=1, keep_per_cluster=7, near=[{"source": str(seeds)}], near_k=12)
    phrasebox(*arguments(source, tmp_path / "again", **more), "--inline")
    for path in source.iterdir():
        path.unlink()
    for number in range(3):
        (source / f"{number}.tar").write_bytes((corpus / f"{number}.tar").read_bytes())
        phrasebox(*arguments(source, tmp_path / "run", **more), "--inline")
        assert files(tmp_path / "run") == files(tmp_path / "again", number + 1)
    found = [row["reason"] for row in rows(tmp_path / "run", "curation")]
    first = found[:COUNT]
    assert first.count(None) == 7 and first.count("far_from_seeds") == 8 and first.count("crowded_cluster") == 5
    assert {"crowded_cluster", "far_from_seeds", None} <= set(found[COUNT:])


def test_mistakes_are_told_before_any_work(corpus: Path, network: Path, tmp_path: Path) -> None:
    def refused(**given: Any) -> str:
        done = CliRunner().invoke(app, [*arguments(corpus, tmp_path / "run", **given), "--inline"])
        assert done.exit_code != 0 and not (tmp_path / "run/pairs").exists()
        return f"{done.output} {done.exception}"

    assert "curate.duplicates: embedding needs curate.embedder" in refused(duplicates="embedding")
    assert "no such folder" in refused(**settings(tmp_path / "nowhere"))
    (tmp_path / "sscd.torchscript.pt").write_bytes(b"code")
    assert "is a file; a checkpoint is a folder" in refused(**settings(tmp_path / "sscd.torchscript.pt"))
    assert "curate.min_similarity needs curate.embedder" in refused(min_similarity=0.2)
    assert "curate.keep_per_cluster needs curate.embedder" in refused(keep_per_cluster=5)
    assert "curate.near: /nowhere: no such file" in refused(**settings(network, near=[{"source": "/nowhere"}]))
    assert "knows no texts; CLIP and SigLIP do" in refused(**settings(network, min_similarity=0.2))
    wrong = {"model": str(network), "model_sha256": "0" * 64}
    assert "curate.embedder.model_sha256 asks for 0000" in refused(**settings(network, embedder=wrong))
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text(json.dumps({"model_type": "owlv2"}))
    (tmp_path / "model/model.safetensors").write_bytes(b"")
    assert "of the type 'owlv2'" in refused(**settings(tmp_path / "model"))


def test_vectors_depend_on_the_weights_and_not_on_their_name() -> None:
    def of(duplicates: str = "embedding", **embedder: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        section = {"model": "a/b", "model_sha256": "12ab", "device": "cpu", **embedder}
        config = Config.model_validate({"curate": {"duplicates": duplicates, "embedder": section}})
        return CurateStage.settings(config), CurateStage.merge_settings(config)

    before = of()
    assert of(model="c/d", revision="main") == before and of(device="cpu:0") == before
    for other in ({"model_sha256": "34cd"}, {"precision": "bf16"}, {"batch_size": 8}, {"device": "cuda"}):
        changed = of(**other)
        assert changed[0] != before[0] and changed[1] != before[1]
    needs = [CurateStage.needs(Config.model_validate({"curate": {"embedder": {"model": "a/b", "device": device}}}))
             for device in ("cpu", "cuda:1")]  # fmt: skip
    assert needs == [Needs(actor=True), Needs(gpu=True, actor=True)] and CurateStage.needs(Config()) == Needs()
