"""Annotation files in columns: samples are those of the file; what is kept beside the run is right, or rebuilt."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.multiprocessing as multiprocessing

from pipeline.storage.base import Storage
from pipeline.storage.files import RunFiles
from pipeline.storage.local import LocalStorage
from pipeline.storage.object_store import ObjectStorage
from stages.geometry import box_array
from stages.stage import UserError
from stages.train import columns
from stages.train.annotated import CocoSet, MdetrSet
from stages.train.columns import FOLDER
from stages.train.ranks import Ranks
from tests.stages.train.test_ranks import meet

ROOTS = {"coco": "coco", "vg": "vg"}  # below the folder of the test
NAMES = ["cup", "hot dog", "Straße", "cup"]  # two ids of one name


def spelled(id: int, rng: np.random.Generator) -> int | float | str:
    return (id, float(id), str(id))[int(rng.integers(3))]


def content(seed: int, images: int = 40) -> dict[str, Any]:
    """For both formats: ids of mixed kinds, crowds, thin boxes, boxes of no image, sizes of 0, images without a box."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "id": spelled(id, rng),
            "file_name": f"{id}\udce9.png" if id % 7 == 3 else f"{id}.png",  # a name that is no UTF-8
            "data_source": ("coco", "vg")[id % 2],
            "width": 0 if id % 5 == 0 else 640,
            "height": 480 + id,
            "caption": f"A man, {id} 犬 and a “cup”",
        }
        for id in rng.permutation(images).tolist()
    ]
    boxes = [
        {
            "id": number,
            "image_id": spelled(int(rng.integers(0, images + 3)), rng),
            "category_id": spelled(int(rng.integers(1, 5)), rng),
            "bbox": (rng.integers(-5, 400, 4) / 7).tolist(),
            "iscrowd": int(rng.random() < 0.1),
            "segmentation": [[1, 2, 3]],
            "tokens_positive": [[int(at), int(at) + 3] for at in rng.integers(0, 6, int(rng.integers(0, 3)))],
        }
        for number in range(images * 4)
    ]
    named = [{"id": number + 1, "name": name} for number, name in enumerate(NAMES)]
    return {"images": rows, "annotations": boxes, "categories": named}


def plain(data: Mapping[str, Any], format: str, root: Path) -> list[dict[str, Any]]:
    """What the samples have to be, from the whole file in memory."""
    samples = []
    for row in data["images"]:
        own = [
            entry
            for entry in data["annotations"]
            if int(entry["image_id"]) == int(row["id"])
            and min(entry["bbox"][2:]) > 1
            and (entry["tokens_positive"] if format == "mdetr" else not entry["iscrowd"])
        ]
        if not own:
            continue
        corners = [(x, y, x + width, y + height) for x, y, width, height in (entry["bbox"] for entry in own)]
        spans = [tuple(map(tuple, entry["tokens_positive"])) for entry in own]
        different = list(dict.fromkeys(spans))
        objects = [(NAMES[int(entry["category_id"]) - 1], box) for entry, box in zip(own, corners, strict=True)]
        grounding = format == "mdetr"
        samples.append(
            {
                "key": str(row["id"]),
                "image": (root / row["data_source"] / row["file_name"]).read_bytes(),
                "caption": row["caption"] if grounding else "",
                "spans": tuple(different) if grounding else (),
                "boxes": box_array(corners if grounding else []),
                "phrase": np.asarray([different.index(each) for each in spans] if grounding else [], dtype=np.int64),
                "scores": np.ones(len(own) if grounding else 0, dtype=np.float32),
                "pseudo": False,
                "objects": () if grounding else tuple(objects),
                "listed": False,
                "partial": False,
                "frame": (row["width"], row["height"]) if row["width"] else None,
            }
        )
    return samples


def assert_same(gold: CocoSet | MdetrSet, expected: list[dict[str, Any]]) -> None:
    assert len(gold) == len(expected) > 20
    for index, sample in enumerate(expected):
        found = vars(gold.sample(index))
        assert found.keys() == sample.keys()
        for name, value in sample.items():
            if isinstance(value, np.ndarray):
                assert found[name].dtype == value.dtype and found[name].shape == value.shape, name
                assert found[name].tobytes() == value.tobytes() and found[name].flags.writeable, name
            else:
                assert found[name] == value, name
        if sample["frame"]:
            assert gold.shape(index) == sample["frame"][::-1]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The images of `content` in two folders; an image is the bytes of its name here."""
    for root in ROOTS.values():
        (tmp_path / root).mkdir()
    for row in content(0)["images"]:
        (tmp_path / row["data_source"] / row["file_name"]).write_bytes(
            row["file_name"].encode("utf-8", "surrogateescape")
        )
    return tmp_path


def files_of(storage: Storage) -> RunFiles:
    return RunFiles(storage, [], "test", lambda *_: None)


def open_set(here: Path, format: str, data: Mapping[str, Any] | None = None, run: RunFiles | None = None) -> Any:
    """The set of g.json, which is written first where there is `data`."""
    if data is not None:
        (here / "g.json").write_text(json.dumps(data))
    images = {name: str(here / folder) for name, folder in ROOTS.items()}
    files = run or files_of(LocalStorage(str(here / "run")))
    return (CocoSet if format == "coco" else MdetrSet)(files, str(here / "g.json"), images, run=run)


@pytest.mark.parametrize("format", ["coco", "mdetr"])
@pytest.mark.parametrize("order", permutations(("images", "annotations", "categories")))
def test_samples_are_those_of_the_file_whatever_the_order_of_its_arrays(
    here: Path, format: str, order: tuple[str, ...]
) -> None:
    data = content(9)
    expected = plain(data, format, here)
    gold = open_set(here, format, {"info": {"a": [1]}, **{array: data[array] for array in order}, "licenses": []})
    assert_same(gold, expected)
    boxes = Counter[str]()
    for entry in data["annotations"]:
        thin, known = min(entry["bbox"][2:]) <= 1, int(entry["image_id"]) < 40
        spanned = bool(entry["tokens_positive"]) or format == "coco"
        crowd = bool(entry["iscrowd"]) and format == "coco"
        reason = "crowd" if crowd else "phrase_not_found" if not spanned else "empty_box" if thin else ""
        boxes[reason or ("" if known else "unknown_image")] += 1
    del boxes[""]
    assert gold.unused == boxes and boxes["unknown_image"] and boxes["empty_box"]
    if format == "coco":
        assert gold.vocabulary() == sorted(NAMES)
        assert gold.names(3) == {name for name, _ in expected[3]["objects"]}
    else:
        assert list(gold.captions_near(0)) == [sample["caption"] for sample in expected]


@pytest.mark.parametrize("format", ["coco", "mdetr"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
def test_samples_do_not_depend_on_how_the_file_is_written(here: Path, format: str, encoding: str) -> None:
    data = content(1)
    text = json.dumps(data, indent=1, ensure_ascii=False).replace("\udce9", "\\udce9")
    (here / "g.json").write_bytes(text.encode(encoding))
    assert_same(open_set(here, format), plain(data, format, here))
    keyed = {array: {str(number): entry for number, entry in enumerate(data[array])} for array in data}
    assert_same(open_set(here, format, keyed), plain(data, format, here))


def test_the_last_of_two_images_with_one_id_counts_in_the_place_of_the_first(here: Path) -> None:
    data = content(2)
    first, *others = data["images"]
    again = {**first, "caption": "another", "width": 7}
    expected = plain({**data, "images": [again, *others]}, "mdetr", here)
    assert expected[0]["caption"] == "another"
    assert_same(open_set(here, "mdetr", {**data, "images": [first, *others, again]}), expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"images": [], "annotations": [], "categories": []', "is not a JSON file"),
        ('{"images": [], "annotations": [], "categories": []} x', "is not a JSON file"),
        ('{"images": [], "annotations": [{"bbox": [1,', "is not a JSON file"),
        (b'{"images": [{"id": 1, "file_name": "\xff"}]}', "is not a JSON file"),
        ('{"images": [], "annotations": [], "categories": [], "images": []}', "`images` comes twice"),
        ('{"images": null, "annotations": [], "categories": []}', "is no COCO instances file"),
        ("[{}]", "holds no object with `images` and `annotations`"),
        ("7", "is not a JSON file"),
        (
            '{"annotations": [{"id": 5, "image_id": 1, "category_id": 2, "bbox": [1, 1, 9, 9]},'
            ' {"id": 6, "image_id": 1, "category_id": 3, "bbox": [1, 1, 9, 9]}],'
            ' "images": [], "categories": [{"id": 2, "name": "cup"}]}',
            "category_id is 3, and no category has this id (annotations[1], id 6)",
        ),
    ],
)
def test_a_bad_file_is_one_line_and_nothing_is_kept_of_it(here: Path, text: str | bytes, words: str) -> None:
    (here / "g.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    run = files_of(LocalStorage(str(here / "run")))
    with pytest.raises(UserError) as caught:
        open_set(here, "coco", run=run)
    message = str(caught.value)
    assert message.startswith(f"train.gold: {here / 'g.json'}") and words in message and "\n" not in message
    assert run.files(FOLDER) == []


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose columns were built."""
    found: list[str] = []
    build = columns.build

    def told(files: Any, uri: str, *rest: Any) -> pa.RecordBatch:
        found.append(uri)
        return build(files, uri, *rest)

    monkeypatch.setattr(columns, "build", told)
    return found


@pytest.mark.parametrize("place", ["disk", "store"])
def test_columns_are_built_once_and_again_when_the_file_has_changed(
    here: Path, place: str, builds: list[str], request: pytest.FixtureRequest
) -> None:
    root = f"memory://{request.node.name}-{here.name}"
    run = files_of(LocalStorage(str(here / "run")) if place == "disk" else ObjectStorage(root))
    for format in ("coco", "mdetr", "coco", "mdetr"):
        assert_same(open_set(here, format, content(3), run), plain(content(3), format, here))
    kept = run.files(FOLDER)
    assert len(builds) == len(kept) == 2
    before = open_set(here, "coco", run=run)
    assert_same(open_set(here, "coco", content(4), run), plain(content(4), "coco", here))
    assert len(builds) == 3
    assert len(run.files(FOLDER)) == 2 and len({*kept, *run.files(FOLDER)}) == 3  # the old one is gone
    assert_same(before, plain(content(3), "coco", here))  # and serves who has it open


def test_other_folders_of_images_are_other_columns(here: Path, builds: list[str]) -> None:
    run = files_of(LocalStorage(str(here / "run")))
    open_set(here, "coco", content(5), run)
    (here / "moved").mkdir()
    for row in content(5)["images"]:
        (here / "moved" / row["file_name"]).write_bytes(b"moved")
    gold = CocoSet(run, str(here / "g.json"), str(here / "moved"), run=run)
    assert gold.sample(0).image == b"moved" and len(builds) == 2


@pytest.mark.parametrize("place", ["disk", "store"])
def test_an_interrupted_build_leaves_nothing_that_is_taken_for_whole(
    here: Path, place: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    root = f"memory://{request.node.name}-{here.name}"
    run = files_of(LocalStorage(str(here / "run")) if place == "disk" else ObjectStorage(root))
    write = columns.write

    def half(batch: pa.RecordBatch, stream: BinaryIO) -> None:
        whole = pa.BufferOutputStream()
        write(batch, whole)
        stream.write(whole.getvalue().to_pybytes()[: len(whole.getvalue()) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(columns, "write", half)
    with pytest.raises(KeyboardInterrupt):
        open_set(here, "coco", content(6), run)
    assert run.files(FOLDER) == []
    monkeypatch.setattr(columns, "write", write)
    assert_same(open_set(here, "coco", run=run), plain(content(6), "coco", here))


@pytest.mark.parametrize("format", ["coco", "mdetr"])
def test_kept_columns_are_small_and_are_not_read_into_memory(here: Path, format: str) -> None:
    data = content(7)
    data["annotations"] = [
        {**entry, "image_id": number // 6 % 40, "bbox": [1, 2, 30, 40], "iscrowd": 0, "tokens_positive": [[0, 5]]}
        for number, entry in enumerate(data["annotations"] * 300)
    ]
    run = files_of(LocalStorage(str(here / "run")))
    open_set(here, format, data, run)
    before = pa.total_allocated_bytes()
    gold = open_set(here, format, run=run)
    assert pa.total_allocated_bytes() - before < 10_000
    assert sum(len(gold.value("labels", index)) for index in range(len(gold))) == len(data["annotations"]) == 48_000
    (file,) = run.files(FOLDER)
    assert (here / "run" / file).stat().st_size < 48_000 * (40 if format == "coco" else 32)


def rank(number: int, here: Path, meeting: str) -> None:
    """Opens the set as `train` does, and writes down whether its columns were there."""
    torch.distributed.init_process_group("gloo", meeting, rank=number, world_size=3)
    run = files_of(LocalStorage(str(here / "run")))
    with Ranks(number, 3).first_alone():
        found = run.files(FOLDER)
        gold = open_set(here, "mdetr", run=run)
    assert_same(gold, plain(content(8), "mdetr", here))
    (here / f"rank-{number}").write_text(str(len(found)))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_the_first_rank_builds_and_the_others_wait_for_it(here: Path) -> None:
    (here / "g.json").write_text(json.dumps(content(8)))
    multiprocessing.spawn(rank, (here, meet(here)), nprocs=3)
    assert [(here / f"rank-{number}").read_text() for number in range(3)] == ["0", "1", "1"]
