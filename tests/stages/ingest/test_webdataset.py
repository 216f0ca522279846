"""Tars of samples, with and without sidecars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stages.ingest.stage import IngestStage
from stages.stage import UserError
from tests.stages.conftest import Run
from tests.stages.image_files import image_file
from tests.stages.tars import extracted, member, plain_tar, sample, tar, write


def test_a_plain_tar_is_addressed_where_it_lies(run: Run, tmp_path: Path) -> None:
    members = sample("0", "a dog", url="http://x/0", license="CC0") + sample("dir/1.png"[:5], "a cat")
    path = plain_tar(tmp_path / "in/a.tar", members)
    first, second = run.ingest(source=path)
    assert (first["source_id"], first["caption"], first["url"], first["license"]) == ("0", "a dog", "http://x/0", "CC0")
    assert second["source_id"] == "dir/1"
    assert [run.image(pair) for pair in (first, second)] == [data for name, data in members if name.endswith("jpg")]
    assert first["image"]["uri"] == path
    assert not (run.root / "images").exists() and not (run.root / "gold").exists()


@pytest.mark.parametrize("part_size", [1, 2, 3, 100])
def test_parts_add_up_to_the_source(run: Run, tmp_path: Path, part_size: int) -> None:
    for name, keys in (("a", "123"), ("b", "45")):
        plain_tar(tmp_path / f"in/{name}.tar", [entry for key in keys for entry in sample(key, f"caption {key}")])
    pairs = run.ingest(part_size, source=str(tmp_path / "in"))
    assert [pair["source_id"] for pair in pairs] == list("12345")


def test_the_caption_comes_from_txt_then_json_then_sidecar(run: Run, tmp_path: Path) -> None:
    image = ("%s.jpg", image_file())
    members = [
        ("0.jpg", image_file()),
        ("0.txt", b"\xef\xbb\xbffrom the txt\r\n"),
        ("0.json", b'{"caption": "no"}'),
        (image[0] % 1, image[1]),
        ("1.json", b'{"caption": "from the json"}'),
        (image[0] % 2, image[1]),
        ("2.json", b"{broken"),
        (image[0] % 3, image[1]),
        ("4.jpg", image_file()),
        ("4.txt", b"kept"),
        ("4.json", b"{broken"),
    ]
    pairs = run.ingest(source=plain_tar(tmp_path / "a.tar", members))
    assert {pair["source_id"]: pair["caption"] for pair in pairs} == {
        "0": "from the txt",
        "1": "from the json",
        "4": "kept",
    }
    assert run.rejects() == {"2": "bad_record", "3": "missing_caption"}


def test_compressed_tars_move_their_images_into_the_run(run: Run, tmp_path: Path) -> None:
    members = sample("0") + sample("1", image=image_file("PNG"))
    pairs = run.ingest(source=plain_tar(tmp_path / "a.tar.gz", members, "w:gz"))
    assert [pair["image"]["uri"] for pair in pairs] == ["images/part-0000000.tar"] * 2
    assert [run.image(pair) for pair in pairs] == [members[0][1], members[3][1]]
    assert [name for name, _ in extracted(run.root / "images/part-0000000.tar")] == [
        "000000000000.jpg",
        "000000000001.png",
    ]


def test_grounded_records_in_a_tar_become_gold(run: Run, tmp_path: Path) -> None:
    boxes = [[2.0, 5.0, 0.0, 0.5, 1.0, 1.0, 0.9]]
    members = sample("0", "a dog", noun_chunks=boxes, ref_exps=boxes, width=1000, height=500) + sample("1", "a cat")
    run.ingest(source=plain_tar(tmp_path / "a.tar", members))
    first, second = run.rows("gold")
    assert first["spans"] == [{"start": 2, "end": 5}]
    assert first["boxes"] == [{"span": 0, "x1": 0, "y1": 8, "x2": 24, "y2": 16, "category": ""}]
    assert second["boxes"] == []


def test_member_names_never_become_paths(run: Run, tmp_path: Path) -> None:
    names = ("/abs/olute", "../../up", "a/../../b", "C:\\x")
    path = write(tmp_path / "in/a.tar", tar(*(member(f"{name}{end}", data) for name in names for end, data in
                                              ((".jpg", image_file()), (".txt", b"a dog")))))  # fmt: skip
    pairs = run.ingest(source=path)
    assert [pair["source_id"] for pair in pairs] == list(names)
    assert {pair["image"]["uri"] for pair in pairs} == {path}
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()) == [
        "in/a.tar",
        "run/pairs/part-0000000.parquet",
        "run/rejects/ingest/part-0000000.parquet",
    ]


def test_a_source_without_rows_or_tars_is_the_users_mistake(run: Run, tmp_path: Path) -> None:
    empty = write(tmp_path / "in/empty.tar", bytes(10240))
    with pytest.raises(UserError, match="holds no rows"):
        run.ingest(source=empty)
    (tmp_path / "void").mkdir()
    with pytest.raises(UserError, match=r"ingest\.format"):
        run.ingest(source=str(tmp_path / "void"))
    with pytest.raises(UserError, match=r"no \.tar files"):
        run.ingest(source=str(tmp_path / "void"), format="webdataset")
    with pytest.raises(UserError, match="no file or folder"):
        run.ingest(source=str(tmp_path / "nowhere.tar"))


def test_files_added_later_leave_the_earlier_slices_as_they_were(run: Run, tmp_path: Path) -> None:
    def plan() -> Any:
        return IngestStage(run.config(ingest={"source": str(tmp_path / "in")})).plan(run.io(), 2)

    plain_tar(tmp_path / "in/b.tar", [entry for key in "123" for entry in sample(key)])
    before = plan()
    plain_tar(tmp_path / "in/a.tar", sample("0"))
    assert plan()[1:] == before


def test_a_count_cuts_the_plan(run: Run, tmp_path: Path) -> None:
    plain_tar(tmp_path / "in/a.tar", [entry for key in "123" for entry in sample(key)])
    assert [pair["source_id"] for pair in run.ingest(2, source=str(tmp_path / "in"), count=2)] == ["1", "2"]


def test_a_real_shard_of_img2dataset(run: Run, shared: Path) -> None:
    folder = shared / "flickr8k-wds"
    pairs = run.ingest(part_size=500, source=str(folder / "00000.tar"))
    stats = json.loads((folder / "00000_stats.json").read_text())
    assert len(pairs) == stats["successes"]
    rejected = run.rows("rejects/ingest")
    assert {row["reason"] for row in rejected} == {"download_failed"}
    assert len(rejected) == stats["failed_to_download"]
    assert {row["detail"].partition(": ")[2] for row in rejected} == {"HTTP Error 404: Not Found"}
    members = dict(extracted(Path(folder / "00000.tar")))
    with open(folder / "00000.tar", "rb") as file:
        for pair in pairs:
            file.seek(pair["image"]["offset"])
            assert file.read(pair["image"]["length"]) == members[f"{pair['source_id']}.jpg"]
            assert pair["caption"] == members[f"{pair['source_id']}.txt"].decode()


def test_a_file_that_changed_after_planning_fails_its_part(run: Run, tmp_path: Path) -> None:
    stage = IngestStage(run.config(ingest={"source": plain_tar(tmp_path / "a.tar", sample("0"))}))
    (piece,) = stage.plan(run.io(), 10)
    plain_tar(tmp_path / "a.tar", [*sample("0", "longer" * 9999), *sample("1")])
    with pytest.raises(ValueError, match="has changed since it was planned"):
        stage.run_part(run.io(0, piece))
