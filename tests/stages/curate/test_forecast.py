"""What a dry run says of a corpus against what a run makes of it, and how often the intervals hold the truth."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline.cli.app import app
from stages.curate import forecast
from stages.curate.forecast import bounds
from tests.digests import digests
from tests.similarity_models import save_image_network
from tests.stages.curate.photographs import ALTERATIONS, jpeg, photograph
from tests.stages.curate.test_stage import arguments, phrasebox, rows, write_tar

COUNT, COPIED, PLAIN, LEAKED = 90, 30, 12, 15
NUMBER = r"[\d,.]+"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs; altered copies of some, and second copies of others; and plain images."""
    folder = tmp_path_factory.mktemp("source")
    images = {f"0{seed:03d}": jpeg(photograph(seed, (96, 72))) for seed in range(COUNT)}
    copies = {f"1{seed:03d}": jpeg(ALTERATIONS["darker"](photograph(seed, (96, 72)))) for seed in range(COPIED)}
    copies |= {f"2{seed:03d}": images[f"0{seed:03d}"] for seed in range(COPIED, 2 * COPIED)}
    plain = {f"3{level:03d}": jpeg(Image.new("RGB", (96, 72), (20 * level, 9, 9))) for level in range(PLAIN)}
    for number, some in enumerate((images, copies, plain)):
        write_tar(folder / f"{number}.tar", some)
    return folder


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark") / "val"
    folder.mkdir()
    for seed in range(COUNT - LEAKED, COUNT):
        (folder / f"{seed}.jpg").write_bytes(jpeg(photograph(seed, (96, 72))))
    return folder


def settings(benchmark: Path) -> dict[str, Any]:
    return {"duplicates": "perceptual", "min_entropy": 1.0, "against": [{"source": str(benchmark)}]}


@pytest.fixture
def ingested(source: Path, benchmark: Path, tmp_path: Path) -> Path:
    run = tmp_path / "run"
    phrasebox(*arguments(source, run, "ingest", **settings(benchmark)), "--inline")
    return run


def said(run: Path, *given: str) -> dict[str, str]:
    """What the dry run says of the sample, by the first word of each line."""
    before = digests(run, ["."])
    lines = phrasebox("curate", str(run), "--dry-run", *given).splitlines()
    assert digests(run, ["."]) == before
    start = next(number for number, line in enumerate(lines) if line.split()[0] == "curate")
    found = [line.split(maxsplit=1) for line in lines[start + 1 : -1]]
    return {first.rstrip(":"): rest for first, rest in found}


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(NUMBER, text) if number.strip(",.")]


def test_a_small_corpus_is_told_exactly(ingested: Path, source: Path, benchmark: Path) -> None:
    lines = said(ingested)
    total = COUNT + 2 * COPIED + PLAIN
    assert lines["sample"] == f"{total} of {total} pairs, all: {total - COPIED} images"
    phrasebox(*arguments(source, ingested, "curate", **settings(benchmark)), "--inline")
    reasons = [row["reason"] for row in rows(ingested, "curation")]
    expected = {"plain_image": PLAIN, "benchmark_leak": LEAKED, "exact_duplicate": COPIED, "near_duplicate": COPIED}
    for reason, count in expected.items():
        assert lines[reason] == f"{reasons.count(reason)} pairs" == f"{count} pairs"
    assert "sample" not in said_when_done(ingested)


def said_when_done(run: Path) -> str:
    return phrasebox("curate", str(run), "--dry-run")


def test_a_sample_tells_shares_and_bounds(ingested: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "PAIRS", 80)
    lines, total = said(ingested), COUNT + 2 * COPIED + PLAIN
    assert lines["sample"].startswith(f"80 of {total} pairs, drawn with seed 0: ")
    for reason, truth in (("plain_image", PLAIN), ("benchmark_leak", LEAKED)):
        share, low, high, pairs, least, most = numbers(lines[reason])
        assert least <= truth <= most and low <= 100 * truth / total <= high and low < share < high
        assert pairs == pytest.approx(share / 100 * total, abs=0.5)
    for reason in ("exact_duplicate", "near_duplicate"):
        seen, middle, low, high, least, most = numbers(lines[reason])
        assert 0 < seen < COPIED and low <= COPIED <= high and least <= COPIED <= most
        assert middle == pytest.approx(seen * total * (total - 1) / (80 * 79), rel=0.01)


def test_hours_are_those_of_all_images_with_so_many_workers(ingested: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for workers in (1, 5):
        clock = iter([100.0, 100.0 + 1.5 * 3600])
        monkeypatch.setattr(forecast, "time", SimpleNamespace(perf_counter=lambda clock=clock: next(clock)))
        lines = said(ingested, "--workers", str(workers))
        unit = "1 worker" if workers == 1 else f"{workers} workers"
        assert lines["hours"].startswith(f"about {1.5 * 162 / 132 / workers:.2f} with {unit}: ")
        assert lines["hours"].endswith("for each of 162 images")


def test_a_benchmark_without_images_is_an_error(ingested: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none/1.jpg").write_bytes(b"no image")
    given = ["curate", str(ingested), "--dry-run", f'--set=curate.against=[{{"source": "{tmp_path / "none"}"}}]']
    done = CliRunner().invoke(app, given)
    assert "has no image that can be read" in f"{done.output} {done.exception}"


def test_before_ingest_there_is_no_estimate(source: Path, tmp_path: Path) -> None:
    out = phrasebox(*arguments(source, tmp_path / "run", "curate", duplicates="exact"), "--dry-run")
    assert "no estimate: curate needs pairs/, which is not there for part 0; run `phrasebox ingest` first" in out
    assert not (tmp_path / "run").exists()


def test_captions_that_repeat_are_told_from_below(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "PAIRS", 80)
    run = tmp_path / "run"
    phrasebox(*arguments(source, run, "ingest", max_caption_repeats=10), "--inline")
    lines = said(run)
    seen, least = numbers(lines["repeated_caption"])
    assert seen == 70 and 0 < least <= COUNT + 2 * COPIED + PLAIN - 10
    assert "exact_duplicate" not in lines and "search" not in lines["disk"]


def test_vectors_of_a_sample(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "EMBEDDED", 30)
    run, network = tmp_path / "run", save_image_network("dinov2", tmp_path / "network")
    given = {"duplicates": "embedding", "embedder": str(network), "min_cosine": 0.999999, "keep_per_cluster": 3}
    phrasebox(*arguments(source, run, "ingest", **given), "--inline")
    lines = said(run)
    assert lines["sample"].startswith("30 of 162 pairs, drawn with seed 0: ")
    assert lines["keep_per_cluster"] == "not estimated, since clusters are those of the whole"
    assert {"exact_duplicate", "near_duplicate", "disk", "memory"} <= set(lines) and "crowded_cluster" not in lines


# -- copies ------------------------------------------------------------------------------------------------------------


def drawn_groups(population: int, groups: list[int], read: int, seed: int) -> np.ndarray:
    """Sizes of the groups of copies that a sample holds two or more of."""
    draw = np.random.default_rng(seed)
    owner = np.full(population, -1)
    start = 0
    for number, size in enumerate(groups):
        owner[start : start + size] = number
        start += size
    sample = owner[draw.choice(population, read, replace=False)]
    sizes = np.bincount(sample[sample >= 0], minlength=len(groups))
    return sizes[sizes > 1]


@pytest.mark.parametrize(
    "groups", [[2] * 6000, [2] * 1500 + [3] * 800 + [5] * 200, [2] * 500 + [40] * 20, [2] * 20, [300]]
)
def test_bounds_of_copies_hold(groups: list[int]) -> None:
    """In 400 drawn samples of 2,000 of 20,000 pairs. Where every group has two, the interval of pairs is exact."""
    population, read, draws = 20_000, 2000, 400
    pairs, aside = sum(size * (size - 1) // 2 for size in groups), sum(groups) - len(groups)
    held, within, middles = 0, 0, []
    for seed in range(draws):
        (low, middle, high), least, most = bounds(drawn_groups(population, groups, read, seed), read, population)
        held += least <= aside <= most
        within += low <= pairs <= high
        middles.append(middle)
    assert held >= 0.95 * draws and np.mean(middles) == pytest.approx(pairs, rel=0.3)
    assert within >= 0.94 * draws


def test_nothing_in_a_sample_bounds_nothing_but_what_is_many() -> None:
    (low, middle, high), least, most = bounds(np.empty(0, np.int64), 2000, 24_000_000)
    assert low == middle == least == 0 and most == 24_000_000 - 1 and high == pytest.approx(3.689 * 12_000**2, rel=1e-3)
    (_, _, high), _, most = bounds(np.empty(0, np.int64), 2000, 20_000)
    assert high == most == pytest.approx(368.9, rel=1e-2)
