"""`phrasebox ingest` as a person types it: what it says of a source, before and after, and how it ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.cli.app import main
from tests.stages.image_files import HEIGHT, WIDTH, image_file
from tests.stages.tars import sample, tar, write


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


class Desk:
    """A folder with a source in `in` and a run in `run`."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capsys = capsys

    def file(self, name: str, data: str | bytes) -> str:
        return write(self.root / "in" / name, data.encode() if isinstance(data, str) else data)

    def images(self, *names: str) -> None:
        for name in names:
            self.file(name, image_file())

    def ingest(self, *arguments: str, source: str | None = "", run: str = "run", **options: object) -> Done:
        """`source`: below `in`; None: as the run has it."""
        settings = {"source": self.root / "in" / source if source else self.root / "in", **options}
        if source is None:
            del settings["source"]
        sets = [f"--set=ingest.{name}={value}" for name, value in settings.items()]
        return self.command("ingest", "--inline", "--run", str(self.root / run), *sets, *arguments)

    def command(self, *arguments: str) -> Done:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        said = self._capsys.readouterr()
        return Done(int(end.value.code or 0), said.out, said.err)

    def rows(self, dataset: str, run: str = "run") -> list[dict[str, object]]:
        paths = sorted((self.root / run / dataset).glob("part-*.parquet"))
        return [row for path in paths for row in pq.read_table(path).to_pylist()]

    def config(self, run: str = "run") -> dict[str, object]:
        found: dict[str, object] = yaml.safe_load((self.root / run / "config.yaml").read_text())["ingest"]
        return found


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    yield Desk(tmp_path, capsys)


def kaggle(desk: Desk) -> None:
    desk.images("Images/1.jpg", "Images/2.jpg")
    desk.file("captions.txt", 'image,caption\n1.jpg,a dog\n2.jpg,"a cat, a dog"\n')
    desk.file("README.md", "x")


def test_a_dry_run_says_what_it_understood_and_writes_nothing(desk: Desk) -> None:
    kaggle(desk)
    before = sorted(desk.root.rglob("*"))
    done = desk.ingest("--dry-run")
    assert (done.code, sorted(desk.root.rglob("*"))) == (0, before)
    folder = desk.root / "in"
    assert done.out.splitlines()[:6] == [
        f"source     {folder}: table, 1 file",
        "  captions.txt: divider comma, quoting csv, header, caption = 'caption', image = 'image', "
        f"images in {folder}/Images",
        "first pairs",
        f"  captions.txt#0: 'a dog', {folder}/Images/1.jpg ({WIDTH} x {HEIGHT})",
        f"  captions.txt#1: 'a cat, a dog', {folder}/Images/2.jpg ({WIDTH} x {HEIGHT})",
        "not used   1 file (README.md)",
    ]


def test_what_a_dry_run_shows_holds_no_control_characters(desk: Desk) -> None:
    desk.file("a.csv", "caption,n\nred \x1b[31m text,1\n")
    done = desk.ingest("--dry-run")
    assert done.code == 0 and "\x1b" not in done.out + done.err


def test_the_last_words_name_what_was_not_used(desk: Desk) -> None:
    kaggle(desk)
    for made in (True, False):  # also when there is nothing to be done
        done = desk.ingest()
        assert done.code == 0 and ("nothing to be done" in done.out) != made
        assert done.err.splitlines()[-1] == "ingest    not used: 1 file (README.md)"


def test_the_resolved_config_is_read_back(desk: Desk) -> None:
    kaggle(desk)
    assert desk.ingest().code == 0
    found = desk.config()
    expected = {"format": "table", "caption": "caption", "image": "image", "divider": "comma", "quoting": "csv"}
    expected |= {"header": True, "images": str(desk.root / "in/Images")}
    assert {name: found[name] for name in expected} == expected
    assert "nothing to be done" in desk.ingest(source=None).out
    done = desk.ingest("--config", str(desk.root / "run/config.yaml"), source=None, run="again")
    assert done.code == 0 and desk.rows("pairs") == desk.rows("pairs", "again")
    assert desk.config("again") == desk.config()


def test_another_source_is_looked_at_anew(desk: Desk) -> None:
    kaggle(desk)
    assert desk.ingest().code == 0
    desk.file("b.tsv", "a 'dog'\thttp://x/1\na cat\thttp://x/2\n")
    assert desk.ingest(source="b.tsv").code == 0
    assert [row["caption"] for row in desk.rows("pairs")] == ["a 'dog'", "a cat"]
    found = desk.config()
    assert (found["divider"], found["header"], found["images"], found["image"]) == ("tab", False, None, None)
    assert desk.ingest(source="b.tsv", caption=0, url=1).code == 0  # and what is said of it stays
    assert desk.ingest(source=None).code == 0


def coco(desk: Desk, image: dict[str, object], box: dict[str, object]) -> None:
    desk.images("images/7.jpg")
    entry = {"id": 7, "file_name": "7.jpg", "width": WIDTH, "height": HEIGHT, **image}
    captions = {"images": [entry], "annotations": [{"image_id": 7, "caption": "a"}]}
    desk.file("captions.json", json.dumps(captions))
    annotation = {"image_id": 7, "category_id": 1, "bbox": [4, 4, 10, 8], **box}
    desk.file("instances.json", json.dumps({"annotations": [annotation], "categories": []}))


@pytest.mark.parametrize(("image", "box"), [({"width": 0}, {}), ({}, {"image_id": "7"}), ({}, {"image_id": 7.0})])
def test_true_boxes_are_said(desk: Desk, image: dict[str, object], box: dict[str, object]) -> None:
    coco(desk, image, box)
    done = desk.ingest(source="captions.json", instances=desk.root / "in/instances.json")
    assert done.code == 0 and "gold       1 of 1 true boxes used" in done.out
    assert len(desk.rows("gold")[0]["boxes"]) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ({"image_id": 8}, "unknown_image (its image has no caption in the source)"),
        ({"bbox": [90, 90, 5, 5]}, "outside_image (nothing of the box lies in its image)"),
        ({"iscrowd": 1}, "crowd (a crowd, which is no single object"),
    ],
)
def test_no_true_box_at_all_is_an_error(desk: Desk, box: dict[str, object], reason: str) -> None:
    coco(desk, {}, box)
    for _ in range(2):
        done = desk.ingest(source="captions.json", instances=desk.root / "in/instances.json")
        assert done.code == 1
        assert f"none of the 1 true boxes of {desk.root}/in/captions.json can be used: 1 {reason}" in done.err
        assert "not used: 1 true boxes (" in done.err and "Traceback" not in done.err


def test_no_usable_row_is_an_error_and_ends_the_run(desk: Desk) -> None:
    desk.file("a.csv", "image,caption\nno.jpg,a dog\nno.jpg,c\n../x,b\n")
    for _ in range(2):
        done = desk.ingest(source="a.csv")
        assert done.code == 1
        (line,) = [line for line in done.err.splitlines() if line.startswith("phrasebox: ")]
        assert line.startswith(f"phrasebox: ingest: none of the 3 rows of {desk.root}/in/a.csv can be used: ")
        assert "2 missing_image" in line and "1 image_read_refused" in line and "(first a.csv#0: missing_image" in line
    config = desk.file(
        "c.yaml", yaml.safe_dump({"run": str(desk.root / "r"), "ingest": {"source": f"{desk.root}/in/a.csv"}})
    )
    done = desk.command("run", config, "--inline", "--until", "phrases")
    assert done.code == 1 and not (desk.root / "r/phrases").exists()


def test_one_usable_row_is_enough_and_some_parts_judge_nothing(desk: Desk) -> None:
    desk.file("a.csv", "image,caption\nno.jpg,a dog\n,b\n")
    part_size = "--set=part_size=1"
    assert desk.ingest("--parts", "0", part_size, source="a.csv").code == 0
    done = desk.ingest(part_size, source="a.csv")
    assert done.code == 0 and "2 in, 1 rejected (1 missing_image)" in done.out


def test_pairs_that_were_taken_out_are_no_error(desk: Desk) -> None:
    desk.file("a.csv", "caption,id\na,1\n")
    assert desk.ingest(source="a.csv").code == 0
    ids = write(desk.root / "ids", b"1\n")
    assert desk.command("remove", str(desk.root / "run"), "--source-ids", ids, "--inline").code == 0
    assert desk.ingest(source="a.csv").code == 0


def test_ids_of_several_pairs_are_refused_with_the_pairs(desk: Desk) -> None:
    for split in ("train", "val"):
        desk.file(f"{split}/metadata.jsonl", f'{{"text": "of {split}"}}\n{{"text": "more", "id": "7"}}\n')
    assert desk.ingest().code == 0
    run, ids = str(desk.root / "run"), write(desk.root / "ids", b"7\ntrain/metadata.jsonl#0\n")
    done = desk.command("remove", run, "--source-ids", ids, "--inline")
    assert done.code == 2 and len(desk.rows("pairs")) == 4
    assert "key:000000000001  (7: 'more')" in done.err and "key:000000100001  (7: 'more')" in done.err
    write(desk.root / "ids", b"key:000000100001\ntrain/metadata.jsonl#0\n")
    done = desk.command("remove", run, "--source-ids", ids, "--inline")
    assert done.code == 0 and "2 of 2 ids are in this run" in done.out
    left = [(row["key"], row["source_id"]) for row in desk.rows("pairs")]
    assert left == [("000000000001", "7"), ("000000100000", "val/metadata.jsonl#0")]
    assert desk.command("verify", run).code == 0
    assert desk.ingest("--force").code == 0 and [row["key"] for row in desk.rows("pairs")] == [key for key, _ in left]


def test_a_tar_that_is_gone_is_in_the_account(desk: Desk) -> None:
    for name, key in (("00000", "000000000"), ("00001", "000010000")):
        table = pa.table({"key": [key], "status": ["success"], "url": ["http://x"], "caption": ["a"]})
        (desk.root / "in").mkdir(exist_ok=True)
        pq.write_table(table, desk.root / f"in/{name}.parquet")
    desk.file("00001.tar", tar(*sample("000010000")))
    done = desk.ingest()
    assert done.code == 0 and "2 in, 1 rejected (1 damaged_source)" in done.out
    assert desk.command("verify", str(desk.root / "run")).code == 0


@pytest.mark.parametrize(
    ("name", "text", "option"),
    [
        ("a.csv", "a,b;c\nd,e;f\n", "ingest.divider"),
        ("a.tsv", 'caption\turl\n"a" b\thttp://x\n"c ""d"""\thttp://y\n', "ingest.quoting"),
        ("a.csv", "caption,text\na,b\n", "ingest.caption"),
        ("a.csv", "a dog\na cat\n", "ingest.caption"),
    ],
)
def test_two_readings_end_with_2_and_the_option(desk: Desk, name: str, text: str, option: str) -> None:
    desk.file(name, text)
    for arguments in ((), ("--dry-run",)):
        done = desk.ingest(*arguments)
        assert done.code == 2 and option in done.err and len(done.err.splitlines()) == 1
        assert not (desk.root / "run").exists() or not list((desk.root / "run").rglob("*.parquet"))


def test_the_documented_command_for_tables_without_a_header(desk: Desk) -> None:
    desk.file("a.tsv", "1\ta dog\tx\n2\ta cat\ty\n")
    assert desk.ingest(source="a.tsv", caption=1).code == 0
    assert [row["caption"] for row in desk.rows("pairs")] == ["a dog", "a cat"]
    assert desk.config()["caption"] == "1"


@pytest.mark.parametrize("option", ["seed=3", "split=eval", "instances=x.json", "divider=tab"])
def test_an_option_that_means_nothing_here(desk: Desk, option: str) -> None:
    desk.file("a.jsonl", '{"caption": "a"}\n')
    name, _, value = option.partition("=")
    done = desk.ingest(**{name: value})
    assert done.code == 2 and f"ingest.{name}" in done.err


def test_a_folder_that_yaml_takes_for_a_number(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.file("2017/a.jsonl", '{"caption": "a"}\n')
    monkeypatch.chdir(desk.root / "in")
    done = desk.command("ingest", "--inline", "--run", str(desk.root / "run"), "--set=ingest.source=2017")
    assert done.code == 0


REAL: dict[str, dict[str, object]] = {
    "captions/conceptual_captions_val.tsv": {},
    "captions/flickr8k_20k.tsv": {"caption": 1, "id": 0},
    "photos/captions_train.tsv": {"caption": 1},
    "flickr8k-wds": {"count": 1500},
    "flickr8k-wds/00003.tar": {},
    "coco-mini": {"instances": "coco-mini/instances.json"},
    "coco-mini/captions.json": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_the_real_inputs(desk: Desk, name: str) -> None:
    shared = Path(__file__).resolve().parents[3].parent / "shared" / "data"
    if not shared.is_dir():
        pytest.skip(f"needs the real inputs in {shared}")
    options = {key: shared / str(value) if key == "instances" else value for key, value in REAL[name].items()}
    sets = [f"--set=ingest.{key}={value}" for key, value in {"source": shared / name, **options}.items()]
    done = desk.command("ingest", "--inline", "--run", str(desk.root / "run"), *sets)
    assert done.code == 0, done.err
    config = shutil.copy(desk.root / "run/config.yaml", desk.root / "config.yaml")
    done = desk.command("ingest", "--inline", "--run", str(desk.root / "back"), "--config", config)
    assert done.code == 0, done.err
    assert desk.rows("pairs") == desk.rows("pairs", "back") and desk.rows("pairs")
    assert desk.rows("rejects/ingest") == desk.rows("rejects/ingest", "back")
    assert desk.command("verify", str(desk.root / "run")).code == 0
