"""`phrasebox run --source`: a person's images and captions, and nothing else."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.cli.source import run_folder
from stages.stage import UserError
from tests.pipeline.cli.conftest import Command, Done
from tests.stages.image_files import HEIGHT, WIDTH, image_file
from tests.stages.tars import sample, tar, write

ROOT = Path(__file__).resolve().parents[3]
PHOTOS = ROOT / "configs" / "photos"
CAPTIONS = {"1.jpg": "a dog on a red ball", "2.jpg": "two cats"}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the person is in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def folder(desk: Path) -> str:
    for name, caption in CAPTIONS.items():
        write(desk / "my_photos" / name, image_file())
        write(desk / "my_photos" / f"{name[:-4]}.txt", caption.encode())
    return "my_photos/"


def csv(desk: Path) -> str:
    folder(desk)
    rows = [f"my_photos/{name},{caption}" for name, caption in CAPTIONS.items()]
    return write(desk / "Captions (old).csv", "\n".join(["image,caption", *rows]).encode())


def parquet(desk: Path) -> str:
    table = pa.table({"jpg": [image_file()] * len(CAPTIONS), "caption": list(CAPTIONS.values())})
    pq.write_table(table, desk / "pairs.v2.parquet")
    return "pairs.v2.parquet"


def tars(desk: Path) -> str:
    return write(desk / "00000.tar", tar(*sample("0", "a dog"), *sample("1", "two cats")))


def coco(desk: Path) -> str:
    folder(desk)
    images = [{"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT} for i, name in enumerate(CAPTIONS)]
    notes = [{"id": i, "image_id": i, "caption": caption} for i, caption in enumerate(CAPTIONS.values())]
    text = json.dumps({"images": images, "annotations": notes})
    return write(desk / "my_photos" / "captions_mini.json", text.encode())


def run(phrasebox: Command, *arguments: str) -> Done:
    return phrasebox("run", "--inline", *arguments)


def config(folder: str) -> dict:
    return yaml.safe_load(Path(folder, "config.yaml").read_text("utf-8"))


@pytest.mark.parametrize(
    ("made", "name", "corpus"),
    [
        (folder, "my_photos", "my_photos"),
        (csv, "Captions (old)", "captions_old_"),
        (parquet, "pairs.v2", "pairs_v2"),
        (tars, "00000", "00000"),
        (coco, "captions_mini", "captions_mini"),
    ],
)
def test_a_source_of_any_kind_goes_up_to_its_report(
    made: Callable[[Path], str], name: str, corpus: str, desk: Path, phrasebox: Command
) -> None:
    done = run(phrasebox, "--source", made(desk))
    assert done.returncode == 0, done.stderr
    stats = json.loads(Path("runs", name, "report", "stats.json").read_text())
    assert stats["pairs"] == 2 == stats["pairs_with_image"] and stats["parts"]["pseudo"] == 1
    assert Path("runs", name, "report", "index.html").exists() and not Path("runs", name, "student").exists()
    assert (config(f"runs/{name}")["corpus"], stats["corpus"]) == (corpus, corpus)
    assert [path.name for path in Path("runs").iterdir()] == [name]


def test_it_says_where_to_look_and_the_commands_work(desk: Path, phrasebox: Command) -> None:
    source = "new photos: dogs #1 🐕"
    shutil.copytree(PHOTOS, source)
    done = run(phrasebox, "--source", source, "--set", "filter.min_score=0.3", "--set", "label.teacher=glip-nano")
    report = f"report     {desk}/runs/{source}/report/index.html (warnings: {done.stdout.count('warning  ')})"
    assert report in done.stdout.splitlines()
    stats = json.loads(Path("runs", source, "report", "stats.json").read_text())
    asked, grounded = stats["phrases_asked"], stats["phrases_grounded"]
    assert f"found      boxes for {grounded} of the {asked} phrases asked for ({grounded / asked:.0%})\n" in done.stdout
    assert config(f"runs/{source}")["ingest"]["source"] == f"{desk}/{source}"
    for what in ("look       phrasebox ", "take away  phrasebox "):
        (command,) = [line.removeprefix(what) for line in done.stdout.splitlines() if line.startswith(what)]
        assert phrasebox(*shlex.split(command)).returncode == 0
    assert list(Path("boxes").glob("*.png")) and Path(f"runs/{source}/export-coco").is_dir()


def test_a_teacher_of_drawings_on_photos_is_a_warning(desk: Path, phrasebox: Command) -> None:
    done = run(phrasebox, "--source", str(PHOTOS), "--run", "mine", "--set", "label.teacher=glip-nano")
    (warning,) = json.loads(Path("mine/report/stats.json").read_text())["warnings"]
    assert warning["code"] == "teacher_boxes" and f"warning    {warning['text']}\n" in done.stdout
    assert "glip-nano: A small teacher for drawn scenes" in done.stdout
    assert "--run mine --set" in done.stdout
    page = Path("mine/report/index.html").read_text("utf-8")
    assert "outside of what this teacher knows" in page and "A small teacher for drawn scenes" in page


@pytest.mark.slow
def test_true_boxes_tell_it_too(desk: Path, phrasebox: Command) -> None:
    photos = ROOT.parent / "shared" / "data" / "coco-mini"
    if not photos.is_dir():
        pytest.skip("needs the real inputs beside the repository, in ../shared/data")
    sets = [f"images={photos}/images", f"instances={photos}/instances.json", "count=100"]
    done = run(
        phrasebox, "--source", f"{photos}/captions.json", "--set=label.teacher=glip-nano",
        *[f"--set=ingest.{setting}" for setting in sets],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    stats = json.loads(Path("runs/captions/report/stats.json").read_text())
    (warning,) = [warning for warning in stats["warnings"] if warning["code"].startswith("teacher_")]
    assert warning["code"] == "teacher_recall" and warning["value"] < 0.05
    assert 30 <= stats["gold"]["named"] < stats["gold"]["boxes"]


@pytest.mark.slow
def test_a_teacher_of_photos_on_drawings_is_a_warning_by_their_true_boxes(desk: Path, phrasebox: Command) -> None:
    sets = ["--set=ingest.count=60", "--set=label.teacher=glip-photos"]
    done = run(phrasebox, "--source", "scenes", *sets)
    assert done.returncode == 0, done.stderr
    stats = json.loads(Path("runs/scenes/report/stats.json").read_text())
    (warning,) = [warning for warning in stats["warnings"] if warning["code"].startswith("teacher_")]
    assert warning["code"] == "teacher_recall" and warning["value"] < warning["limit"] == 0.2
    assert f"warning    {warning['text']}\n" in done.stdout and stats["gold"]["named"] >= 30


def test_again_does_nothing_and_keeps_the_settings(desk: Path, phrasebox: Command) -> None:
    source = folder(desk)
    assert run(phrasebox, "--source", source, "--set", "filter.min_score=0.3").returncode == 0
    before = config("runs/my_photos")
    for name in ("my_photos", f"{desk}/my_photos/"):
        assert "nothing to be done" in run(phrasebox, "--source", name).stdout
    assert config("runs/my_photos") == before and before["filter"]["min_score"] == 0.3
    run(phrasebox, "--source", source, "--set", "filter.min_score=0.4")
    assert config("runs/my_photos")["filter"]["min_score"] == 0.4


def test_another_end_and_a_dry_run(desk: Path, phrasebox: Command) -> None:
    source = folder(desk)
    done = run(phrasebox, "--source", source, "--dry-run")
    assert (done.returncode, Path("runs").exists()) == (0, False) and "2 pairs in the plan" in done.stdout
    done = run(phrasebox, "--source", source, "--until", "phrases")
    assert done.returncode == 0 and not Path("runs/my_photos/labels").exists() and "settings" not in done.stdout


def test_scenes_are_a_source(desk: Path, phrasebox: Command) -> None:
    for _ in range(2):
        done = run(phrasebox, "--source", "scenes", "--set", "ingest.count=2", "--set", "ingest.seed=3")
        assert done.returncode == 0 and config("runs/scenes")["ingest"]["seed"] == 3
    assert "nothing to be done" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a config, or a folder of images and captions with --source"),
        (["web.yaml", "--source", "my_photos"], "give the config web.yaml or --source my_photos"),
        (["--source", "my_fotos"], "--source my_fotos: there is no such file or folder"),
        (["--source", "other/my_photos"], "runs/my_photos is a run of another source"),
        (["--source", "."], "lies in the source, ., and would be read with it"),
        (["--source", "my_photos", "--run", "my_photos"], "my_photos lies in the source"),
        (["--source", "/"], "has no name to call the run by"),
        (["--source", "my_photos", "--set", "ingest.source=scenes"], "--set ingest.source says again"),
        (["--source", "my_photos", "--from", "train"], "audit comes before train"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], words: str, desk: Path, phrasebox: Command) -> None:
    source = folder(desk)
    shutil.copytree("my_photos", "other/my_photos")
    run(phrasebox, "--source", source, "--until", "ingest")
    before = sorted(desk.rglob("*"))
    done = run(phrasebox, *arguments)
    assert (done.returncode, done.stdout, sorted(desk.rglob("*"))) == (2, "", before)
    assert words in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("s3://bucket/web/photos/", "photos"),
        ("s3://bucket", "bucket"),
        ("a/b.jsonl.gz", "b"),
        ("2024.05.csv", "2024.05"),
    ],
)
def test_a_run_is_named_after_its_source(source: str, name: str) -> None:
    assert run_folder(source) == f"runs/{name}"


def test_a_source_without_a_name_needs_a_folder() -> None:
    with pytest.raises(UserError, match="name its folder with --run"):
        run_folder("/")
