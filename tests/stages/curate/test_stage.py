"""The stage as a user runs it: copies of every kind are set aside, and growth, workers and kills change no byte."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline.cli.app import app
from stages.stage import UserError
from tests.digests import digests
from tests.stages.conftest import SHARED
from tests.stages.curate.photographs import ALTERATIONS, MORE, jpeg, mirrored, photograph
from tests.stages.image_files import png_chunk
from tests.stages.tars import sample, tar
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[3]
COCO = SHARED / "coco128" / "images"
FLICKR = SHARED / "flickr8k-wds"
DATA = ("summaries", "curation", "phrases", "rejects")


def write_tar(path: Path, images: dict[str, bytes], caption: str = "a photo of a red ball") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tar(*(member for name, data in images.items() for member in sample(name, caption, data))))


def arguments(source: Path, run: Path, until: str = "phrases", **curate: Any) -> list[str]:
    settings = {"part_size": 20, **{f"curate.{name}": value for name, value in curate.items()}}
    more = [f"--set={name}={json.dumps(value)}" for name, value in settings.items()]
    return ["run", "--source", str(source), "--run", str(run), "--until", until, *more]


def phrasebox(*given: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(given))
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


def curate(source: Path, run: Path, **settings: Any) -> dict[str, tuple[str | None, str | None]]:
    """Reason, and the source id of the kept one, by source id."""
    phrasebox(*arguments(source, run, **{"duplicates": "perceptual", **settings}), "--inline")
    return decisions(run)


def decisions(run: Path) -> dict[str, tuple[str | None, str | None]]:
    names = {row["key"]: row["source_id"] for row in rows(run, "pairs")}
    found = {}
    for row in rows(run, "curation"):
        assert row["keep"] is (row["reason"] is None) is (row["duplicate_of"] is None)
        found[names[row["key"]]] = (row["reason"], names.get(row["duplicate_of"]))
    assert len(found) == len(names)
    return found


def rows(run: Path, dataset: str) -> list[dict[str, Any]]:
    return [row for path in sorted((run / dataset).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def data_of(run: Path, parts: range = range(1000)) -> dict[str, str]:
    """sha256 of every data file of these parts."""
    return {path: found for path, found in digests(run, DATA).items() if int(Path(path).name[5:12]) in parts}


ORIGINALS = {f"{seed:03d}": photograph(seed) for seed in range(12)}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Originals; one copy of each kind; other images, one of them twice, and one that cannot be decoded."""
    source = tmp_path_factory.mktemp("corpus")
    write_tar(source / "00000.tar", {name: jpeg(image) for name, image in ORIGINALS.items()})
    kinds = dict(zip(ALTERATIONS, ORIGINALS, strict=True)) | dict(zip(MORE, ORIGINALS, strict=False))
    copies = {
        f"1{i:02d}": jpeg((ALTERATIONS | MORE)[kind](ORIGINALS[of])) for i, (kind, of) in enumerate(kinds.items())
    }
    write_tar(source / "00001.tar", copies)
    others = {f"2{i:02d}": jpeg(photograph(100 + i)) for i in range(10)}
    others["210"] = others["203"]
    others["211"] = jpeg(photograph(3))  # the bytes of original 3
    header = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 30, 8, 0, 0, 0, 0))
    others["212"] = header + png_chunk(b"IDAT", b"no pixels") + png_chunk(b"IEND", b"")
    write_tar(source / "00002.tar", others)
    return source


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    curate(corpus, run)
    return run


def test_copies_are_set_aside_with_the_reason_and_the_image_that_is_kept(whole: Path) -> None:
    found = decisions(whole)
    kinds = [*ALTERATIONS, *MORE]
    for number, kind in enumerate(kinds):
        original = f"{number if number < 12 else number - 12:03d}"
        assert found[f"1{number:02d}"] == ("near_duplicate", original), kind
    assert found["210"] == ("exact_duplicate", "203") and found["211"] == ("exact_duplicate", "003")
    rest = {name for name, decision in found.items() if decision == (None, None)}
    assert rest == {*ORIGINALS, *(f"2{number:02d}" for number in range(10)), "212"}


def test_what_is_set_aside_is_accounted_for(whole: Path) -> None:
    names = {row["key"]: row["source_id"] for row in rows(whole, "pairs")}
    kept = {name for name, (reason, _) in decisions(whole).items() if reason is None}
    assert {names[row["key"]] for row in rows(whole, "phrases")} == kept
    counts = [json.loads(path.read_text())["counts"] for path in (whole / "commits/phrases").glob("part-*.json")]
    assert sum(entry["in"] for entry in counts) == 42
    reasons = ("near_duplicate", "exact_duplicate")
    aside = {name: sum(entry["set_aside"].get(name, 0) for entry in counts) for name in reasons}
    assert aside == {"near_duplicate": 17, "exact_duplicate": 2}
    assert "all in order" in phrasebox("verify", str(whole))
    record = json.loads((whole / "commits/curate/result.json").read_text())
    figures = ("exact_duplicate", "near_duplicate", "groups", "largest_group")
    notes = {name: record["notes"][name] for name in figures}
    assert notes == {"exact_duplicate": 2, "near_duplicate": 17, "groups": 13, "largest_group": 4}
    parts = [json.loads(path.read_text())["notes"] for path in (whole / "commits/curate").glob("part-*.json")]
    assert sum(entry["images"] for entry in parts) == 41  # of which 210 is in one part with its twin
    assert sum(entry["unreadable"] for entry in parts) == 1


def test_a_corpus_that_grows_ends_as_if_it_had_been_whole(corpus: Path, whole: Path, tmp_path: Path) -> None:
    source, run, again = tmp_path / "source", tmp_path / "run", tmp_path / "again"
    shutil.copytree(corpus, source)
    assert curate(source, again) == decisions(whole)
    before: dict[str, Any] = {}
    for path in source.iterdir():
        path.unlink()
    for number in range(3):
        name = f"{number:05d}.tar"
        (source / name).write_bytes((corpus / name).read_bytes())
        curate(source, run)
        assert data_of(run) == data_of(again, range(number + 1))
        records = {path.name: json.loads(path.read_text()) for path in (run / "commits/phrases").glob("part-*.json")}
        assert len(records) == number + 1 and before.items() <= records.items()  # seconds and all: not recomputed
        before = records


def test_memory_changes_no_byte_and_recomputes_nothing(corpus: Path, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    curate(corpus, run, memory=1e-5)
    assert data_of(run) == data_of(whole)
    assert "result made" not in phrasebox(*arguments(corpus, run, duplicates="perceptual"), "--inline")


def killed_in_the_search(command: list[str], run: Path, block: str) -> None:
    """Runs a command that is killed, with all of its processes, once a block of the search is done, and again."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    wait_for(lambda: list(run.glob(f"state/scratch/{block}")), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (run / "commits/curate/result.json").exists()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stderr=subprocess.DEVNULL)
    assert not (run / "state/scratch").exists()


@pytest.mark.slow
def test_a_search_on_two_workers_that_was_killed_ends_with_the_same_bytes(
    corpus: Path, whole: Path, tmp_path: Path
) -> None:
    """In so many blocks that it is not over when the kill comes."""
    run = tmp_path / "run"
    given = arguments(corpus, run, duplicates="perceptual", memory=1e-6)
    command = [sys.executable, "-m", "pipeline.cli", *given, "--workers", "2"]
    killed_in_the_search(command, run, "candidates/*/*.npy")
    assert data_of(run) == data_of(whole)


def test_the_next_one_is_kept_when_the_first_is_removed(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert curate(corpus, run)["103"] == ("near_duplicate", "003")
    ids = tmp_path / "ids.txt"
    ids.write_text("003\n")
    phrasebox("remove", str(run), "--source-ids", str(ids), "--inline")
    found = decisions(run)
    assert "003" not in found and found["103"] == (None, None) and found["211"] == ("near_duplicate", "103")
    assert "all in order" in phrasebox("verify", str(run))


def test_an_image_that_is_there_at_last_is_kept_and_its_copies_are_not(tmp_path: Path) -> None:
    """`retry` of what ingest rejected decides again about the parts after it, which are not recomputed otherwise."""
    lines = [f"{name}.jpg,a red ball" for name in ("late", *"abc", "copy")]
    images = {name: photograph(seed) for seed, name in enumerate("abc")}
    source = table_of(tmp_path / "source", lines, copy=ALTERATIONS["darker"](photograph(9)), **images)
    run = tmp_path / "run"
    phrasebox(*arguments(source, run, duplicates="perceptual"), "--set=part_size=4", "--inline")
    assert [row["reason"] for row in rows(run, "curation")] == [None] * 4
    assert [row["reason"] for row in rows(run, "rejects/ingest")] == ["missing_image"]
    before = (run / "commits/curate/part-0000001.json").read_text()
    (source.parent / "late.jpg").write_bytes(jpeg(photograph(9)))
    phrasebox("retry", str(run), "--reason", "missing_image", "--inline")
    assert [row["reason"] for row in rows(run, "curation")] == [None, None, None, None, "near_duplicate"]
    assert rows(run, "curation")[-1]["duplicate_of"] == rows(run, "pairs")[0]["key"]
    assert len(rows(run, "phrases")) == 4 and "all in order" in phrasebox("verify", str(run))
    assert (run / "commits/curate/part-0000001.json").read_text() == before


def test_exact_copies_alone(corpus: Path, tmp_path: Path) -> None:
    found = curate(corpus, tmp_path / "run", duplicates="exact")
    assert {name: decision for name, decision in found.items() if decision[0]} == {
        "210": ("exact_duplicate", "203"),
        "211": ("exact_duplicate", "003"),
    }
    assert pq.read_schema(tmp_path / "run/summaries/curate/part-0000000.parquet").names == [
        "key", "sha256", "place", "caption",
    ]  # fmt: skip


def test_off_by_default_and_by_yaml(corpus: Path, tmp_path: Path) -> None:
    settings: dict[str, dict[str, Any]] = {"default": {}, "yaml": {"duplicates": False}}
    for name, curate in settings.items():
        run = tmp_path / name
        phrasebox(*arguments(corpus, run, **curate), "--inline")
        assert not (run / "curation").exists() and len(rows(run, "phrases")) == 42
    config = tmp_path / "yaml" / "config.yaml"
    assert "duplicates: 'off'" in config.read_text() or 'duplicates: "off"' in config.read_text()


def test_mirrored_images_by_choice(tmp_path: Path) -> None:
    images = {f"{seed}": jpeg(photograph(seed)) for seed in range(4)}
    images |= {f"1{seed}": jpeg(mirrored(photograph(seed))) for seed in range(4)}
    write_tar(tmp_path / "source/00000.tar", images)
    found = curate(tmp_path / "source", tmp_path / "upright")
    assert len(found) == 8 and {reason for reason, _ in found.values()} == {None}
    found = curate(tmp_path / "source", tmp_path / "mirrored", flips=True)
    assert {name: kept for name, (_, kept) in found.items() if kept} == {f"1{seed}": f"{seed}" for seed in range(4)}


def table_of(source: Path, lines: list[str], **images: Image.Image | bytes) -> Path:
    """A table of captions beside its images."""
    source.mkdir()
    for name, image in images.items():
        (source / f"{name}.jpg").write_bytes(image if isinstance(image, bytes) else jpeg(image))
    (source / "pairs.csv").write_text("\n".join(["image,caption", *lines]) + "\n")
    return source / "pairs.csv"


def test_captions_alone(tmp_path: Path) -> None:
    source = table_of(tmp_path / "source", ["a.jpg,a box", ",no image", ",no image"], a=photograph(1))
    phrasebox(*arguments(source, tmp_path / "run", duplicates="perceptual"), "--inline")
    assert [row["reason"] for row in rows(tmp_path / "run", "curation")] == [None] * 3


def captions_of_photographs(source: Path) -> Path:
    """As COCO and Flickr30k have them, not in order: of a, and of its copies, several captions each."""
    lines = ["a.jpg,a red ball", "a.jpg,a ball of red", "b.jpg,a box", "a.jpg,A red  ball", "copy.jpg,a red ball"]
    lines += ["copy.jpg,yet another ball", "a.jpg,a sphere", "small.jpg,a small ball", "small.jpg,a tiny ball"]
    image = photograph(1)
    return table_of(source, lines, a=image, b=photograph(2), copy=image, small=ALTERATIONS["half the size"](image))


@pytest.mark.parametrize("duplicates", ["off", "exact", "perceptual"])
def test_all_captions_of_an_image_are_kept_and_none_of_a_copy(tmp_path: Path, duplicates: str) -> None:
    source, run = captions_of_photographs(tmp_path / "source"), tmp_path / "run"
    phrasebox(*arguments(source, run, duplicates=duplicates, max_caption_repeats=5), "--set=part_size=4", "--inline")
    found = [(row["reason"], row["duplicate_of"]) for row in rows(run, "curation")]
    keys = [row["key"] for row in rows(run, "curation")]
    exact, near = ("exact_duplicate", keys[0]), ("near_duplicate", keys[0])
    kept: tuple[None, None] = (None, None)
    wanted = [kept, kept, kept, exact, exact, exact, kept, near, near]
    kinds = {"off": {kept}, "exact": {kept, exact}, "perceptual": {kept, exact, near}}[duplicates]
    assert found == [decision if decision in kinds else kept for decision in wanted]
    assert "all in order" in phrasebox("verify", str(run))


def test_the_captions_of_the_next_copy_are_kept_when_the_image_is_removed(tmp_path: Path) -> None:
    source, run = captions_of_photographs(tmp_path / "source"), tmp_path / "run"
    phrasebox(*arguments(source, run, duplicates="perceptual"), "--inline")
    ids = tmp_path / "ids.txt"
    pairs = rows(run, "pairs")
    ids.write_text("\n".join(row["source_id"] for row in pairs if row["image"]["uri"].endswith("/a.jpg")) + "\n")
    phrasebox("remove", str(run), "--source-ids", str(ids), "--inline")
    captions = {row["key"]: row["caption"] for row in pairs}
    found = {captions[row["key"]]: row["reason"] for row in rows(run, "curation")}
    near = {caption for caption, reason in found.items() if reason == "near_duplicate"}
    assert near == {"a small ball", "a tiny ball"}
    assert {caption for caption, reason in found.items() if not reason} == {"a box", "a red ball", "yet another ball"}


def test_captions_of_a_leaked_image_are_left_out(tmp_path: Path) -> None:
    source, run, folder = captions_of_photographs(tmp_path / "source"), tmp_path / "run", tmp_path / "test"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(jpeg(ALTERATIONS["darker"](photograph(1))))
    phrasebox(*arguments(source, run, against=[{"source": str(folder)}]), "--inline")
    found = [row["reason"] for row in rows(run, "curation")]
    assert found == ["benchmark_leak", "benchmark_leak", None, *["benchmark_leak"] * 6]


# -- benchmarks --------------------------------------------------------------------------------------------------------


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    """A folder of three images: a darker copy of original 2, original 5 itself, and one that is nowhere else."""
    folder = tmp_path / "val2017"
    folder.mkdir()
    (folder / "17.jpg").write_bytes(jpeg(ALTERATIONS["darker"](ORIGINALS["002"])))
    (folder / "18.jpg").write_bytes(jpeg(ORIGINALS["005"]))
    (folder / "19.jpg").write_bytes(jpeg(photograph(500)))
    return folder


def test_components_that_touch_a_benchmark_are_left_out(
    corpus: Path, whole: Path, benchmark: Path, tmp_path: Path
) -> None:
    found = curate(corpus, tmp_path / "run", against=[{"source": str(benchmark)}])
    before = decisions(whole)
    leaks = {"002", "102", "114", "005", "105"}
    assert {name for name, (reason, _) in found.items() if reason == "benchmark_leak"} == leaks
    assert {name: found[name] for name in found if name not in leaks} == {
        name: before[name] for name in before if name not in leaks
    }
    keys = {row["source_id"]: row["key"] for row in rows(tmp_path / "run", "pairs")}
    of = {row["key"]: row["duplicate_of"] for row in rows(tmp_path / "run", "curation")}
    assert [of[keys[name]] for name in ("002", "114", "005")] == ["val2017:17.jpg", "val2017:17.jpg", "val2017:18.jpg"]
    assert "all in order" in phrasebox("verify", str(tmp_path / "run"))
    notes = json.loads((tmp_path / "run/commits/curate/result.json").read_text())["notes"]
    assert (notes["benchmark_leak"], notes["benchmark_images"], notes["unreadable_of_benchmarks"]) == (5, 3, {})


@pytest.mark.parametrize("duplicates", ["off", "exact"])
def test_leaks_are_found_whatever_counts_as_a_duplicate(
    corpus: Path, benchmark: Path, tmp_path: Path, duplicates: str
) -> None:
    found = curate(corpus, tmp_path / "run", duplicates=duplicates, against=[{"source": str(benchmark)}])
    leaks = {name for name, (reason, _) in found.items() if reason == "benchmark_leak"}
    assert leaks == {"002", "102", "114", "005", "105"}
    others = {name for name, (reason, _) in found.items() if reason and name not in leaks}
    assert others == ({"210", "211"} if duplicates == "exact" else set())


def test_a_benchmark_that_has_changed_is_compared_again(corpus: Path, benchmark: Path, tmp_path: Path) -> None:
    against, run = [{"source": str(benchmark), "name": "coco"}], tmp_path / "run"
    assert curate(corpus, run, against=against)["007"] == (None, None)
    again = arguments(corpus, run, duplicates="perceptual", against=against)
    assert "result made" not in phrasebox(*again, "--inline")
    (benchmark / "20.jpg").write_bytes(jpeg(ORIGINALS["007"]))
    assert curate(corpus, run, against=against)["007"] == ("benchmark_leak", None)
    of = {row["duplicate_of"] for row in rows(run, "curation") if row["reason"] == "benchmark_leak"}
    assert of == {"coco:17.jpg", "coco:18.jpg", "coco:20.jpg"}


def test_benchmarks_that_cannot_be_read_are_told(corpus: Path, benchmark: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    def refused(*against: dict[str, str]) -> str:
        given = arguments(corpus, run, duplicates="perceptual", against=list(against))
        done = CliRunner().invoke(app, [*given, "--inline"])
        assert isinstance(done.exception, UserError | SystemExit), done.exception
        return f"{done.output} {done.exception}"

    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/1.jpg").write_bytes(b"no image")
    assert "nowhere: no such file or folder" in refused({"source": str(tmp_path / "nowhere")})
    assert "two entries are called val2017" in refused({"source": str(benchmark)}, {"source": str(benchmark)})
    assert "has no image that can be read" in refused({"source": str(tmp_path / "empty")})


# -- rules of quality --------------------------------------------------------------------------------------------------


@pytest.fixture
def poor(tmp_path: Path) -> Path:
    """Six captions of one image, and images that are small, narrow or blank."""
    source = tmp_path / "poor"
    source.mkdir()
    images = {"a": photograph(1), "small": photograph(2, (40, 30)), "narrow": photograph(3, (400, 60))}
    images["blank"] = Image.new("RGB", (200, 150), "white")
    for name, image in images.items():
        (source / f"{name}.jpg").write_bytes(jpeg(image))
    captions = ["IMG_0042.JPG", "Click to enlarge", "a red ball", "A red  ball", "a red ball", "a blue box"]
    lines = ["image,caption", *(f"a.jpg,{caption}" for caption in captions)]
    lines += ["small.jpg,a dog", "narrow.jpg,a dog", "blank.jpg,a dog", ",a dog", "blank.jpg,photo.png"]
    (source / "pairs.csv").write_text("\n".join(lines) + "\n")
    return source / "pairs.csv"


def reasons(source: Path, run: Path, **settings: Any) -> list[str | None]:
    phrasebox(*arguments(source, run, **settings), "--inline")
    return [row["reason"] for row in rows(run, "curation")]


def test_rules_leave_out_what_breaks_them(poor: Path, tmp_path: Path) -> None:
    rules = {"drop_file_names": True, "drop_boilerplate": True, "max_caption_repeats": 2}
    of_images = {"min_side": 50, "max_aspect": 5, "min_entropy": 1.0}
    found = reasons(poor, tmp_path / "run", duplicates="perceptual", **rules, **of_images)
    start: list[str | None] = ["file_name_caption", "boilerplate_caption", None]
    rest = ["small_image", "extreme_aspect", "plain_image", None, "plain_image"]
    assert found == [*start, "exact_duplicate", "repeated_caption", None, *rest]
    kept = rows(tmp_path / "run", "curation")[2]["key"]
    assert [row["duplicate_of"] for row in rows(tmp_path / "run", "curation")] == [
        kept if reason == "exact_duplicate" else None for reason in found
    ]
    assert "all in order" in phrasebox("verify", str(tmp_path / "run"))
    off = dict.fromkeys(of_images)
    found = reasons(poor, tmp_path / "run", duplicates="off", **rules, **off)
    often = "repeated_caption"
    assert found == [*start, None, often, None, None, None, often, often, "file_name_caption"]


def test_captions_that_are_nearly_the_same_count_as_one_by_choice(tmp_path: Path) -> None:
    """Five images, each with a caption, of which all but the fourth say nearly the same; the third breaks a rule."""
    text = "buy this beautiful red dress for the summer number"
    said = [f"{text} 1", f"{text.upper()} 2", "photo.png", "a dog on the grass", f"{text} 3"]
    lines = [f"{name}.jpg,{caption}" for name, caption in zip("abcde", said, strict=True)]
    source = table_of(tmp_path / "source", lines, **{name: photograph(seed) for seed, name in enumerate("abcde")})
    run, rules = tmp_path / "run", dict[str, Any](drop_file_names=True, max_caption_repeats=1)
    named, often = "file_name_caption", "repeated_caption"
    assert reasons(source, run, **rules) == [None, None, named, None, None]
    assert reasons(source, run, **rules, caption_likeness=0.8) == [None, often, named, None, often]
    rules["max_caption_repeats"] = 2
    assert reasons(source, run, **rules, caption_likeness=0.8) == [None, None, named, None, often]


def test_another_threshold_decodes_no_image_again(poor: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert "plain_image" in reasons(poor, run, min_entropy=1.0)
    before = (run / "commits/curate/part-0000000.json").read_text()
    assert "plain_image" not in reasons(poor, run, min_entropy=0.0, min_sharpness=1.0)
    assert (run / "commits/curate/part-0000000.json").read_text() == before


# -- real photographs --------------------------------------------------------------------------------------------------


def copies_found(images: dict[str, bytes], copies: dict[str, bytes], run: Path) -> set[str]:
    """The copies, named ORIGINAL-KIND, that are set aside for their original."""
    write_tar(run.parent / "source/00000.tar", images)
    write_tar(run.parent / "source/00001.tar", copies)
    found = curate(run.parent / "source", run)
    assert len(found) == len(images) + len(copies)
    strangers = {name: kept for name, (_, kept) in found.items() if kept and of(name) != of(kept)}
    assert strangers == {}
    return {name for name in copies if found[name] == ("near_duplicate", of(name))}


def of(name: str) -> str:
    return name.partition("-")[0]


@pytest.mark.slow
@pytest.mark.skipif(not COCO.is_dir(), reason="needs ../shared/data/coco128")
def test_altered_photographs_are_found(tmp_path: Path) -> None:
    """All 128 with each of the alterations and with pairs of them in turn: 2,944 copies."""
    pairs = itertools.cycle(itertools.permutations(ALTERATIONS, 2))
    images, copies = {}, {}
    for path in sorted(COCO.glob("*.jpg")):
        image = Image.open(path).convert("RGB")
        images[path.stem] = path.read_bytes()
        for kind, alter in (ALTERATIONS | MORE).items():
            copies[f"{path.stem}-{kind}"] = jpeg(alter(image))
        for first, second in itertools.islice(pairs, 6):
            copies[f"{path.stem}-{first}+{second}"] = jpeg(ALTERATIONS[second](ALTERATIONS[first](image)))
    assert len(images) == 128 and len(copies) == 128 * 23
    missing = set(copies) - copies_found(images, copies, tmp_path / "run")
    assert len(missing) <= 0.005 * len(copies), sorted(missing)


@pytest.mark.slow
@pytest.mark.skipif(not FLICKR.is_dir(), reason="needs ../shared/data/flickr8k-wds")
def test_different_photographs_are_hardly_taken_for_copies(tmp_path: Path) -> None:
    phrasebox(
        *arguments(FLICKR, tmp_path / "run", "curate", duplicates="perceptual"), "--inline", "--set=part_size=1000"
    )
    found = [row for row in rows(tmp_path / "run", "curation") if not row["keep"]]
    assert len(rows(tmp_path / "run", "curation")) == 7971 and len(found) <= 5
