"""The files of RefCOCO, and what is wrong with others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pycocotools import mask as coco_masks

from stages.evaluate.refcoco_gold import instances_of, read_gold, remedy
from stages.stage import UserError
from tests.stages.evaluate import refcoco_files
from tests.stages.evaluate.refcoco_files import CUP, DOG


def test_a_split_has_its_own_sentences_with_their_objects(io: Any, tmp_path: Path) -> None:
    (image,) = read_gold(io, refcoco_files.by_hand(tmp_path), "val", 10)
    assert (image.name, image.size) == ("a.png", (100, 80))
    assert [(one.text, one.box) for one in image.expressions] == [
        ("left cup", CUP),
        ("the dog", DOG),
        ("brown dog", DOG),
    ]
    assert [int(coco_masks.area(one.mask)) for one in image.expressions] == [40 * 40, 30 * 70, 30 * 70]
    (other,) = read_gold(io, refcoco_files.by_hand(tmp_path), "testA", 10)
    assert (other.name, [one.text for one in other.expressions]) == ("b.png", ["dog of b"])


def test_the_first_images_of_a_split_in_the_order_of_its_references(io: Any, tmp_path: Path) -> None:
    data, _ = refcoco_files.of_scenes(tmp_path, 4)
    references = json.loads(Path(data).read_text())
    Path(data).write_text(json.dumps(references[::-1]))
    images = read_gold(io, data, "val", 3)
    assert [image.name for image in images] == ["3.jpg", "2.jpg", "1.jpg"]
    counted = [sum(row["image_id"] == index for row in references) for index in (3, 2, 1)]
    assert [len(image.expressions) for image in images] == counted


@pytest.mark.parametrize("name", ["refs(unc).p", "refs(umd).pkl", "x.pickle"])
def test_a_pickle_is_never_read(io: Any, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(
        UserError, match=r"is a pickle, and reading one may run any code.*json\.dump\(pickle\.load"
    ) as error:
        read_gold(io, str(path), "val", 10)
    assert f'open("{name}", "rb")' in str(error.value) and "\n" not in str(error.value)


def test_the_remedy_converts_a_file_that_is_trusted(io: Any, tmp_path: Path) -> None:
    import pickle
    import shlex
    import subprocess

    data = Path(refcoco_files.by_hand(tmp_path))
    expected = read_gold(io, str(data), "val", 10)
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps(json.loads(data.read_text())))
    data.unlink()
    command = remedy(str(tmp_path / "refs(unc).p")).partition("elsewhere: ")[2]
    subprocess.run(shlex.split(command), cwd=tmp_path, check=True)
    assert read_gold(io, str(data), "val", 10) == expected


def test_what_is_wrong_with_the_files_is_one_line(io: Any, tmp_path: Path) -> None:
    data = Path(refcoco_files.by_hand(tmp_path))
    references, instances = json.loads(data.read_text()), json.loads((tmp_path / "instances.json").read_text())
    assert instances_of(str(data)) == str(tmp_path / "instances.json")

    def read(split: str = "val") -> None:
        read_gold(io, str(data), split, 10)

    with pytest.raises(UserError, match=r"evaluate\.split: .* has no split 'test'; there are testA, val$"):
        read("test")
    refcoco_files.write(tmp_path, {"refs": references}, instances)
    with pytest.raises(UserError, match="holds no list of references"):
        read()
    refcoco_files.write(tmp_path, [{"ann_id": 1}], instances)
    with pytest.raises(UserError, match=r"no file of references: it has no 'split'"):
        read()
    broken = {**instances, "annotations": instances["annotations"][:1]}
    refcoco_files.write(tmp_path, references, broken)
    with pytest.raises(UserError, match=r"instances\.json is no COCO instances file: it has no 2 where one belongs"):
        read()
    for row in instances["images"]:
        row["height"] = 0
    refcoco_files.write(tmp_path, references, instances)
    with pytest.raises(UserError, match="width and height are not above 0"):
        read()
    (tmp_path / "instances.json").unlink()
    with pytest.raises(UserError, match=r"instances\.json: no such file"):
        read()
