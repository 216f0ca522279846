"""COCO instances are read back by pycocotools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.stages.export.exported import Exported, captions, check_images, same, truth


@pytest.mark.parametrize("format", ["coco", "coco-text"])
def test_coco_reads_back_with_pycocotools(exported: Callable[..., Exported], run: Any, format: str) -> None:
    pycocotools = pytest.importorskip("pycocotools.coco")
    export = exported(format)
    coco = pycocotools.COCO(str(export.path("instances.json")))
    found, names = [], {}
    for image in coco.loadImgs(coco.getImgIds()):
        names[image["key"]] = image["file_name"]
        assert image["caption"] == captions(run)[image["key"]]
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
            x, y, w, h = annotation["bbox"]
            assert annotation["area"] == pytest.approx(w * h) and annotation["iscrowd"] == 0
            start, end = annotation["span"]
            assert annotation["phrase"] == image["caption"][start:end]
            found.append((image["key"], start, end, x, y, x + w, y + h, annotation["score"]))
            name = coco.loadCats(annotation["category_id"])[0]["name"]
            assert name == ("object" if format == "coco-text" else annotation["phrase"].lower().removeprefix("a "))
    same(found, truth(run))
    check_images(export, names)
    assert export.result == {"images": len(names), "boxes": len(found), "files": len(names) + 1}
