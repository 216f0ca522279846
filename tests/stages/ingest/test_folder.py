"""Folders of images as people have them, and img2dataset's output as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.ingest.stage import IngestStage
from stages.stage import UserError
from tests.stages.conftest import Run
from tests.stages.image_files import image_file
from tests.stages.tars import write


def lay_out(root: Path, *names: str) -> str:
    """Images, and captions that say their own name. Returns the folder."""
    for name in names:
        suffix = name.rpartition(".")[2].lower()
        image = {"jpg": "JPEG", "png": "PNG", "gif": "GIF"}.get(suffix)
        text = json.dumps({"caption": name, "url": f"http://x/{name}"}) if suffix == "json" else f"{name}\n"
        write(root / "in" / name, image_file(image) if image else text.encode())
    return str(root / "in")


def pairs_of(run: Run, source: str, part_size: int = 100, **options: Any) -> dict[str, str]:
    return {pair["source_id"]: pair["caption"] for pair in run.ingest(part_size, source=source, **options)}


@pytest.mark.parametrize("part_size", [1, 100])
@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["0.jpg", "0.jpg.txt", "1.png", "1.png.txt"], {"0.jpg": "0.jpg.txt", "1.png": "1.png.txt"}),
        (["0.JPG", "0.TXT"], {"0.JPG": "0.TXT"}),
        (["0.jpg", "0.JPG.TXT", "0.JPG"], {"0.JPG": "0.JPG.TXT"}),
        (["0.jpg", "0.caption", "a/1.jpg", "a/1.txt"], {"0.jpg": "0.caption", "a/1.jpg": "a/1.txt"}),
        (["0.jpg", "0.json"], {"0.jpg": "0.json"}),
        (["0.jpg", "0.json", "0.txt"], {"0.jpg": "0.txt"}),
        (["a.b.jpg", "a.b.txt"], {"a.b.jpg": "a.b.txt"}),
        (["0.gif", "0.jpg", "0.txt"], {"0.jpg": "0.txt"}),
        (["0.jpg", "0.jpg.txt", "0.png", "0.png.txt"], {"0.jpg": "0.jpg.txt", "0.png": "0.png.txt"}),
        (["0.jpg", "0.txt", "0.png", "0.png.txt"], {"0.jpg": "0.txt", "0.png": "0.png.txt"}),
        (
            ["images/0.jpg", "images/a.b.png", "text/0.txt", "text/a.b.txt"],
            {"images/0.jpg": "text/0.txt", "images/a.b.png": "text/a.b.txt"},
        ),
        (
            ["val/images/0.jpg", "val/captions/0.TXT", "train/images/0.jpg", "train/captions/0.txt"],
            {"train/images/0.jpg": "train/captions/0.txt", "val/images/0.jpg": "val/captions/0.TXT"},
        ),
        (["a/0.jpg", "a/0.txt", "b/1.jpg", "c/1.txt"], {"a/0.jpg": "a/0.txt", "b/1.jpg": "c/1.txt"}),
    ],
)
def test_captions_beside_images(
    run: Run, tmp_path: Path, names: list[str], pairs: dict[str, str], part_size: int
) -> None:
    assert pairs_of(run, lay_out(tmp_path, *names), part_size) == pairs


def test_sentences_of_flickr30k_entities_are_no_captions(run: Run, tmp_path: Path) -> None:
    lay_out(tmp_path, "flickr30k-images/1.jpg")
    write(tmp_path / "in/Sentences/1.txt", b"[/EN#1/people A man] in [/EN#2/clothing a hat] .\n" * 5)
    with pytest.raises(UserError, match="has the marks of Flickr30k Entities"):
        run.ingest(source=str(tmp_path / "in"))


def test_captions_elsewhere_are_not_guessed(run: Run, tmp_path: Path) -> None:
    """Two folders of captions: which has those of the images?"""
    names = ["images/0.jpg", "short/0.txt", "long/0.txt"]
    run.ingest(source=lay_out(tmp_path, *names), format="folder")
    assert run.rejects() == {
        "images/0.jpg": "missing_caption",
        "short/0.txt": "missing_image",
        "long/0.txt": "missing_image",
    }


def test_the_json_of_an_image_gives_what_a_txt_does_not(run: Run, tmp_path: Path) -> None:
    (pair,) = run.ingest(source=lay_out(tmp_path, "0.jpg", "0.json"))
    assert (pair["caption"], pair["url"]) == ("0.json", "http://x/0.json")
    write(tmp_path / "in/1.jpg", image_file())
    write(tmp_path / "in/1.json", b"{broken")
    write(tmp_path / "in/2.jpg", image_file())
    write(tmp_path / "in/2.json", b"{}")
    run.ingest(source=str(tmp_path / "in"))
    assert run.rejects() == {"1.jpg": "bad_record", "2.jpg": "missing_caption"}


def test_files_that_are_nobodys_are_named(run: Run, tmp_path: Path) -> None:
    source = lay_out(tmp_path, "0.jpg", "0.png", "0.txt", "0.json", "notes.md")
    stage = IngestStage(run.config(ingest={"source": source}))
    stage.plan(run.io(), 10)
    assert stage.unused == {"files (0.json, 0.png, notes.md)": 3}


ROWS = [
    ("000000000", "success"),
    ("000000001", "failed_to_download"),
    ("000000002", "success"),
    ("000000003", "success"),
]


def shard(root: Path, name: str = "00000", first: int = 0) -> None:
    """`--output_format files`: a failed download, one that is gone, and one that the sidecar does not list."""
    rows = [
        {
            **{"url": f"http://x/{key}", "caption": "c", "key": f"{int(key) + first:09d}", "status": status},
            "error_message": None if status == "success" else "HTTP Error 404",
        }
        for key, status in ROWS
    ]
    (root / "in").mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), root / f"in/{name}.parquet")
    write(root / f"in/{name}_stats.json", b"{}")
    for number in (0, 2, 9):
        for suffix in ("jpg", "txt", "json"):
            lay_out(root, f"{name}/{number + first:09d}.{suffix}")


@pytest.mark.parametrize("part_size", [1, 3, 100])
def test_img2datasets_files(run: Run, tmp_path: Path, part_size: int) -> None:
    shard(tmp_path)
    shard(tmp_path, "00001", 10_000)
    pairs = run.ingest(part_size, source=str(tmp_path / "in"))
    ids = ["00000/000000000", "00000/000000002", "00000/000000009"]
    assert [pair["source_id"] for pair in pairs] == ids + [
        name.replace("00000/00000", "00001/00001", 1) for name in ids
    ]
    assert [pair["caption"] for pair in pairs[:2]] == ["00000/000000000.txt", "00000/000000002.txt"]
    assert [pair["url"] for pair in pairs[:2]] == ["http://x/000000000", "http://x/000000002"]
    assert all(run.image(pair) == image_file() for pair in pairs)
    reasons = {"00000/000000001": "download_failed", "00000/000000003": "missing_image"}
    assert run.rejects() == reasons | {
        key.replace("00000/00000", "00001/00001", 1): value for key, value in reasons.items()
    }
    assert sum(result.counts.in_ for result in run.results.values()) == 10


def test_one_folder_of_img2datasets_files_has_its_sidecar_beside_it(run: Run, tmp_path: Path) -> None:
    shard(tmp_path)
    pairs = run.ingest(source=str(tmp_path / "in/00000"))
    assert [pair["source_id"] for pair in pairs] == ["000000000", "000000002", "000000009"]
    assert run.rejects() == {"000000001": "download_failed", "000000003": "missing_image"}


def test_a_sidecar_whose_folder_is_gone_is_rejects(run: Run, tmp_path: Path) -> None:
    shard(tmp_path)
    shard(tmp_path, "00001", 10_000)
    for path in (tmp_path / "in/00001").iterdir():
        path.unlink()
    pairs = run.ingest(3, source=str(tmp_path / "in"))
    assert len(pairs) == 3
    gone = {key for key, reason in run.rejects().items() if reason == "damaged_source"}
    assert gone == {f"00001/{10_000 + number:09d}" for number in range(4)}


def test_the_sidecar_has_the_caption_where_there_is_no_txt(run: Run, tmp_path: Path) -> None:
    shard(tmp_path)
    for path in (tmp_path / "in/00000").glob("*.txt"):
        path.unlink()
    captions = pairs_of(run, str(tmp_path / "in"))
    assert captions["00000/000000000"] == "c"
    assert captions["00000/000000009"] == "00000/000000009.json"  # which no sidecar lists


def test_a_folder_without_captions_or_images(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no images with \.txt files"):
        run.ingest(source=lay_out(tmp_path, "0.md"), format="folder")
    source = lay_out(tmp_path, "0.jpg")
    with pytest.raises(UserError, match=r"none of a known kind with captions; set ingest\.format"):
        run.ingest(source=source)
    run.ingest(source=source, format="folder")
    assert run.rejects() == {"0.jpg": "missing_caption"}


def test_kaggles_flickr8k(run: Run, tmp_path: Path) -> None:
    """`Images/` and `captions.txt`, with quotes where a caption has commas."""
    for name in ("1.jpg", "2.jpg"):
        lay_out(tmp_path, f"Images/{name}")
    write(tmp_path / "in/captions.txt", b'image,caption\n1.jpg,A dog .\n1.jpg,"A dog , and a ""cat"" ."\n2.jpg,x\n')
    for source in ("in", "in/captions.txt"):
        pairs = run.ingest(source=str(tmp_path / source))
        assert [pair["caption"] for pair in pairs] == ["A dog .", 'A dog , and a "cat" .', "x"]
        assert [pair["image"]["uri"].rpartition("/")[2] for pair in pairs] == ["1.jpg", "1.jpg", "2.jpg"]
        assert run.rejects() == {}


def test_which_of_several_texts_has_the_captions_is_asked(run: Run, tmp_path: Path) -> None:
    lay_out(tmp_path, "Images/1.jpg", "readme.txt")
    for name in ("Flickr8k.token.txt", "Flickr8k.lemma.token.txt"):
        write(tmp_path / "in" / name, b"1.jpg#0\ta dog\n")
    with pytest.raises(UserError, match=r"which file .* has the captions\? Flickr8k\.lemma.*; set ingest\.source"):
        run.ingest(source=str(tmp_path / "in"))
    assert len(run.ingest(source=str(tmp_path / "in/Flickr8k.token.txt"))) == 1


def test_flickr8k_as_it_lies_here(run: Run, tmp_path: Path, shared: Path) -> None:
    """The real caption list, laid out as the original, with some of the photos."""
    captions = (shared / "captions/flickr8k_20k.tsv").read_text().splitlines()[:500]
    (tmp_path / "in/Flicker8k_Dataset").mkdir(parents=True)
    (tmp_path / "in/Flickr8k.token.txt").write_text("\n".join(captions) + "\n")
    names = list(dict.fromkeys(line.partition("#")[0] for line in captions))
    for name in names[:60]:
        write(tmp_path / "in/Flicker8k_Dataset" / name, image_file())
    pairs = run.ingest(source=str(tmp_path / "in"))
    expected = [line.partition("\t")[2] for line in captions if line.partition("#")[0] in names[:60]]
    assert [pair["caption"] for pair in pairs] == expected
    assert len(run.rejects()) == len(captions) - len(expected) and set(run.rejects().values()) == {"missing_image"}


@pytest.mark.parametrize("part_size", [1, 100])
def test_a_folder_of_images_with_txt_files(run: Run, tmp_path: Path, part_size: int) -> None:
    folder = tmp_path / "in"
    for name in ("b.jpg", "a.PNG", "sub/c.webp", "no_caption.jpg", "d.jpg", "d.png", ".hidden.jpg"):
        write(
            folder / name,
            image_file({"jpg": "JPEG", "PNG": "PNG", "png": "PNG", "webp": "WEBP"}[name.rpartition(".")[2]]),
        )
    for name in ("b.txt", "a.txt", "sub/c.txt", "d.txt", "no_image.txt"):
        write(folder / name, f"caption of {name}\n".encode())
    write(folder / "gif.gif", image_file("GIF"))
    write(folder / "gif.txt", b"a gif")
    write(folder / "notes.md", b"not a caption")
    pairs = run.ingest(part_size, source=str(folder) + "/")
    assert {pair["source_id"]: pair["caption"] for pair in pairs} == {
        "a.PNG": "caption of a.txt",
        "b.jpg": "caption of b.txt",
        "d.jpg": "caption of d.txt",
        "sub/c.webp": "caption of sub/c.txt",
    }
    assert [run.image(pair)[:2] for pair in pairs] == [b"\x89P", b"\xff\xd8", b"\xff\xd8", b"RI"]
    assert run.rejects() == {
        "gif.gif": "unsupported_format",
        "no_caption.jpg": "missing_caption",
        "no_image.txt": "missing_image",
    }


def test_a_count_cuts_a_folder(run: Run, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        write(tmp_path / "in" / name, image_file())
        write(tmp_path / "in" / f"{name[0]}.txt", b"x")
    assert [pair["source_id"] for pair in run.ingest(10, source=str(tmp_path / "in"), count=2)] == ["a.jpg", "b.jpg"]
