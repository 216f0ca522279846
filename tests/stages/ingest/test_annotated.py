"""COCO captions, folders with .txt files, ODVG: sources whose images lie in a folder."""

from __future__ import annotations

import json

import pytest

from stages.stage import UserError
from tests.stages.image_files import HEIGHT, WIDTH, image_file
from tests.stages.tars import write

CAPTIONS = {
    "info": {"description": "x", "nested": [[1, {"a": []}]]},
    "licenses": [{"id": 3, "name": "Attribution", "url": "http://cc/by"}],
    "images": [
        {
            "id": 7,
            "file_name": "7.jpg",
            "width": WIDTH * 2,
            "height": HEIGHT * 2,
            "license": 3,
            "coco_url": "http://x/7",
        },
        {"id": 8, "file_name": "gone.jpg", "width": 5, "height": 5},
        {"id": 9, "file_name": "../../etc/passwd", "width": 5, "height": 5},
    ],
    "annotations": [
        {"image_id": 7, "id": 1, "caption": "a «dog»\u2028 \U0001f415"},
        {"image_id": 7, "id": 2, "caption": None},
        {"image_id": 8, "id": 3, "caption": "gone"},
        {"image_id": 9, "id": 4, "caption": "refused"},
        {"image_id": 99, "id": 5, "caption": "unknown"},
        "not an object",
        {"image_id": [1], "id": 6, "caption": "odd"},
        {"image_id": 7, "id": 7, "caption": "another of the same image"},
    ],
}
INSTANCES = {
    "images": [],
    "annotations": [
        {"image_id": 7, "category_id": 1, "bbox": [4, 4, 10, 8], "iscrowd": 0},
        {"image_id": 7, "category_id": 2, "bbox": [-4, 0, 1000, 1000]},
        {"image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        {"image_id": 7, "category_id": 1, "bbox": ["x", 0, 9, 9]},
        {"image_id": 6, "category_id": 1, "bbox": [0, 0, 9, 9]},
    ],
    "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "park"}],
}


def coco(tmp_path, data=CAPTIONS, **options):
    write(tmp_path / "coco/images/7.jpg", image_file())
    return write(tmp_path / "coco/captions.json", json.dumps(data, **options).encode())


@pytest.mark.parametrize("part_size", [1, 3, 100])
@pytest.mark.parametrize("options", [{}, {"ensure_ascii": False, "indent": 1}])
def test_coco_captions_row_by_row(run, tmp_path, part_size, options):
    first, last = run.ingest(part_size, source=coco(tmp_path, **options))
    assert (first["caption"], first["source_id"]) == (CAPTIONS["annotations"][0]["caption"], "7.jpg#1")
    assert (first["url"], first["license"]) == ("http://x/7", "http://cc/by")
    assert (last["caption"], last["image"]) == ("another of the same image", first["image"])
    assert [row["reason"] for row in run.rows("rejects/ingest")] == [
        "missing_caption",
        "missing_image",
        "image_read_refused",
        "missing_image",
        "bad_record",
        "missing_image",
    ]


def test_an_image_of_several_captions_is_read_once(run, tmp_path):
    from stages.ingest.stage import IngestStage

    stage = IngestStage(run.config(ingest={"source": coco(tmp_path)}))
    (piece,) = stage.plan(run.io(), 100)
    io = run.io(0, piece)
    stage.run_part(io)
    assert sorted(ref.uri.rpartition("/")[2] for ref in io.reads) == ["7.jpg", "gone.jpg"]


def test_coco_instances_become_gold_in_the_images_frame(run, tmp_path):
    instances = write(tmp_path / "coco/instances.json", json.dumps(INSTANCES).encode())
    run.ingest(source=coco(tmp_path), instances=instances)
    gold = run.rows("gold")
    assert gold
    for row in gold:
        assert row["spans"] == []
        assert [tuple(box.values()) for box in row["boxes"]] == [
            (-1, 2, 2, 7, 6, "dog"),
            (-1, 0, 0, WIDTH, HEIGHT, "park"),
        ]


def test_coco_without_an_image_folder_is_captions_alone(run, tmp_path):
    path = write(tmp_path / "captions.json", json.dumps(CAPTIONS).encode())
    assert {pair["image"] for pair in run.ingest(source=path)} == {None}
    assert "refused" in [pair["caption"] for pair in run.rows("pairs")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"annotations": [{"caption": "x", "image_id": 1}, {"cap', "broken JSON at byte"),
        (b"[1, 2]", "byte 0"),
        (b'{"a": ' + b"[" * 100_000, "deeply|expected|broken"),
        (b'{"images": [], "annotations": [{"bbox": [0, 0, 1, 1], "image_id": 1}]}', "no captions"),
        (b'{"images": []}', "no list `annotations`"),
        (b'{"annotations" [', "byte 15"),
        (b"", "byte 0"),
    ],
)
def test_a_json_that_is_no_coco_is_the_users_mistake(run, tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        run.ingest(source=write(tmp_path / "captions.json", content))


def test_real_coco(run, shared):
    source = shared / "coco-mini"
    pairs = run.ingest(150, source=str(source), instances=str(source / "instances.json"))
    captions = json.loads((source / "captions.json").read_text())
    sizes = {image["file_name"]: (image["width"], image["height"]) for image in captions["images"]}
    names = {image["id"]: image["file_name"] for image in captions["images"]}
    expected = [(f"{names[a['image_id']]}#{a['id']}", a["caption"]) for a in captions["annotations"]]
    assert [(pair["source_id"], pair["caption"]) for pair in pairs] == expected
    assert all((pair["width"], pair["height"]) == sizes[pair["source_id"].partition("#")[0]] for pair in pairs)
    instances = json.loads((source / "instances.json").read_text())["annotations"]
    gold = {pair["source_id"]: row["boxes"] for pair, row in zip(pairs, run.rows("gold"))}
    for annotation in captions["annotations"]:
        true = [a for a in instances if a["image_id"] == annotation["image_id"] and not a["iscrowd"]]
        found = gold[f"{names[annotation['image_id']]}#{annotation['id']}"]
        assert len(found) == len(true)
        for box, (x, y, w, h) in zip(found, (a["bbox"] for a in true)):
            assert [box["x1"], box["y1"], box["x2"], box["y2"]] == pytest.approx([x, y, x + w, y + h], abs=1e-3)


@pytest.mark.parametrize("part_size", [1, 100])
def test_a_folder_of_images_with_txt_files(run, tmp_path, part_size):
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


def test_a_count_cuts_a_folder(run, tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        write(tmp_path / "in" / name, image_file())
        write(tmp_path / "in" / f"{name[0]}.txt", b"x")
    assert [pair["source_id"] for pair in run.ingest(10, source=str(tmp_path / "in"), count=2)] == ["a.jpg", "b.jpg"]


def odvg(tmp_path, *records):
    write(tmp_path / "odvg/images/0.jpg", image_file())
    return write(tmp_path / "odvg/odvg.jsonl", "\n".join(map(json.dumps, records)).encode())


def test_odvg_regions_become_gold(run, tmp_path):
    regions = [
        {"bbox": [0, 0, 12, 8], "phrase": "a dog", "tokens_positive": [[0, 5]], "score": 0.9},
        {"bbox": [[1, 1, 2, 2], [3, 3, 5, 5]], "phrase": "a cat", "tokens_positive": [[10, 15]]},
        {"bbox": [0, 0, 6, 6], "phrase": "dog"},
    ]
    base = {"filename": "images/0.jpg", "width": WIDTH, "height": HEIGHT}
    path = odvg(
        tmp_path,
        {**base, "grounding": {"caption": "a dog and a cat", "regions": regions}},
        {**base, "filename": "1", "detection": {"instances": []}},
        {**base, "filename": "/etc/passwd", "grounding": {"caption": "x", "regions": []}},
        {**base, "filename": "2", "grounding": {"caption": "x", "regions": [{"bbox": [1, 2], "phrase": "x"}]}},
        {**base, "grounding": {"caption": "no regions"}},
    )
    first, last = run.ingest(source=path)
    assert (first["caption"], last["caption"]) == ("a dog and a cat", "no regions")
    gold, empty = run.rows("gold")
    assert [(span["start"], span["end"]) for span in gold["spans"]] == [(0, 5), (10, 15), (2, 5)]
    assert [tuple(box.values())[:5] for box in gold["boxes"]] == [
        (0, 0, 0, 12, 8),
        (1, 1, 1, 2, 2),
        (1, 3, 3, 5, 5),
        (2, 0, 0, 6, 6),
    ]
    assert empty["boxes"] == []
    assert run.rejects() == {"1": "missing_caption", "/etc/passwd": "image_read_refused", "2": "bad_record"}


def test_gold_turns_with_the_image(run, tmp_path):
    """Boxes that are given in the stored frame of a turned image; the upright one has the sides exchanged."""
    write(tmp_path / "odvg/images/turned.jpg", image_file(orientation=6))
    region = {"bbox": [0, 0, 10, 4], "phrase": "x", "tokens_positive": [[0, 1]]}
    grounding = {"caption": "x", "regions": [region]}
    stored = {"filename": "images/turned.jpg", "width": WIDTH, "height": HEIGHT, "grounding": grounding}
    run.ingest(source=odvg(tmp_path, stored, {**stored, "width": HEIGHT, "height": WIDTH}))
    (turned,), (upright,) = (row["boxes"] for row in run.rows("gold"))
    assert tuple(turned.values())[1:5] == (HEIGHT - 4, 0, HEIGHT, 10)  # a quarter clockwise: the top becomes the right
    assert tuple(upright.values())[1:5] == (0, 0, 10, 4)
