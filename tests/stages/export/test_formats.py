"""Round trips: every export is read back, by the tool of its format where there is one, else by a small reader."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from pipeline.cli.app import app
from schemas.config import Config
from stages.export.formats import FORMATS, export
from stages.stage import UserError

Box = tuple[str, int, int, float, float, float, float, float]  # key, span, corners, score


class Exported:
    def __init__(self, folder: Path, run: Any, result: dict[str, int]) -> None:
        self.folder = folder
        self.run = run
        self.result = result

    def path(self, name: str) -> Path:
        return self.folder / name

    def json(self, name: str) -> Any:
        return json.loads(self.path(name).read_text("utf-8"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, make_run: Callable[..., Any]) -> Any:
    return make_run(tmp_path_factory.mktemp("run"), part_size=25).fill(60)


@pytest.fixture
def exported(run: Any, tmp_path: Path) -> Callable[..., Exported]:
    @contextmanager
    def create(name: str) -> Iterator[BinaryIO]:
        path = tmp_path / name
        assert path.resolve().is_relative_to(tmp_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            yield file

    def write(format: str, **options: Any) -> Exported:
        return Exported(tmp_path, run, export(run.all_parts(), format, create, config=run.config, **options))

    return write


def truth(run: Any, min_score: float | None = None) -> list[Box]:
    """Every box that an export must hold, in order."""
    files, found = run.all_parts(), []
    spans = {row["key"]: [(p["start"], p["end"]) for p in row["phrases"]] for row in run.rows["phrases"]}
    with_image = {row["key"] for row in run.rows["pairs"] if row["image"]}
    for part in files.parts():
        for row in files.read_part("pseudo" if min_score is None else "labels", part).to_pylist():
            for box in row["boxes"] if row["key"] in with_image else ():
                if min_score is None or box["score"] > min_score:
                    corners = (box["x1"], box["y1"], box["x2"], box["y2"])
                    found.append((row["key"], *spans[row["key"]][box["phrase"]], *corners, box["score"]))
    return found


def captions(run: Any) -> dict[str, str]:
    return {row["key"]: row["caption"] for row in run.rows["pairs"]}


def same(found: list[Box], expected: list[Box]) -> None:
    assert len(found) == len(expected) > 50
    for a, b in zip(sorted(found), sorted(expected)):
        assert a[:3] == b[:3]
        assert a[3:] == pytest.approx(b[3:], abs=1e-3)


def check_images(export: Exported, names: dict[str, str]) -> None:
    """`names`: key -> the file that a record names; the bytes are those of the run."""
    for key, name in names.items():
        assert export.path(name).read_bytes() == (export.run.root / "images" / f"{key}.jpg").read_bytes()


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


def test_odvg_has_one_region_per_span(exported: Callable[..., Exported], run: Any) -> None:
    export = exported("odvg")
    found, names = [], {}
    for line in export.path("odvg.jsonl").read_text("utf-8").split("\n")[:-1]:
        record = json.loads(line)
        assert set(record) == {"filename", "height", "width", "grounding"}
        key = Path(record["filename"]).stem
        names[key] = record["filename"]
        caption = record["grounding"]["caption"]
        assert caption == captions(run)[key]
        spans = [tuple(region["tokens_positive"][0]) for region in record["grounding"]["regions"]]
        assert len(set(spans)) == len(spans)
        for region in record["grounding"]["regions"]:
            ((start, end),) = region["tokens_positive"]
            assert region["phrase"] == caption[start:end]
            many = isinstance(region["bbox"][0], list)
            boxes, scores = (region["bbox"], region["score"]) if many else ([region["bbox"]], [region["score"]])
            assert len(boxes) == len(scores) and (len(boxes) > 1) == many
            found += [(key, start, end, *box, score) for box, score in zip(boxes, scores)]
    same(found, truth(run))
    check_images(export, names)


def test_grit_is_normalised_and_in_its_own_types(exported: Callable[..., Exported], run: Any) -> None:
    export = exported("grit", images=False)
    table = pq.read_table(export.path("grit-00000.parquet"))
    types = {field.name: str(field.type) for field in table.schema}
    assert types["noun_chunks"] == types["ref_exps"] == "list<element: list<element: double>>"
    assert list(types) == [
        "key",
        "clip_similarity_vitb32",
        "clip_similarity_vitl14",
        "id",
        "url",
        "caption",
        "width",
        "height",
        "noun_chunks",
        "ref_exps",
    ]
    found = []
    for row in table.to_pylist():
        assert row["caption"] == captions(run)[row["key"]] and row["ref_exps"] == row["noun_chunks"]
        for start, end, x1, y1, x2, y2, score in row["noun_chunks"]:
            assert 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 and start == int(start)
            w, h = row["width"], row["height"]
            found.append((row["key"], int(start), int(end), x1 * w, y1 * h, x2 * w, y2 * h, score))
    same(found, truth(run))
    assert export.result["files"] == 1 and not export.path("images").exists()


def test_mdetr(exported: Callable[..., Exported], run: Any) -> None:
    export = exported("mdetr", min_score=0.3)
    data = export.json("mdetr.json")
    assert data["categories"] == [{"supercategory": "object", "id": 1, "name": "object"}]
    images = {image["id"]: image for image in data["images"]}
    found = []
    for annotation in data["annotations"]:
        image = images[annotation["image_id"]]
        ((start, end),) = annotation["tokens_positive"]
        assert [[start, end]] in image["tokens_positive_eval"]
        x, y, w, h = annotation["bbox"]
        found.append((image["key"], start, end, x, y, x + w, y + h, annotation["score"]))
    for image in images.values():
        assert image["tokens_negative"] == [[0, len(image["caption"])]]
    same(found, truth(run, min_score=0.3))
    assert len(found) > len(truth(run))


def test_glip_tsv_by_its_line_index(exported: Callable[..., Exported], run: Any) -> None:
    export = exported("glip-tsv")
    files = yaml.safe_load(export.path("train.yaml").read_text())
    rows: dict[str, list[tuple[str, str]]] = {}
    for kind, name in files.items():
        data = export.path(name).read_bytes()
        offsets = [int(line) for line in export.path(name.replace(".tsv", ".lineidx")).read_text().split()]
        rows[kind] = []
        for offset in offsets:
            key, value = data[offset:].split(b"\n", 1)[0].decode().split("\t")
            rows[kind].append((key, value))
        assert len(offsets) == data.count(b"\n")
    found = []
    for (key, image), (label_key, label), (size_key, size) in zip(rows["img"], rows["label"], rows["hw"]):
        assert key == label_key == size_key
        assert base64.b64decode(image) == (run.root / "images" / f"{key}.jpg").read_bytes()
        record = json.loads(label)
        assert json.loads(size) == [{"height": record["img_h"], "width": record["img_w"]}]
        assert record["caption"] == captions(run)[key]
        for box, score, spans in zip(record["bboxes"], record["scores"], record["tokens_positive"]):
            found.append((key, *spans[0], *box, score))
    same(found, truth(run))


def test_label_studio(exported: Callable[..., Exported], run: Any) -> None:
    export = exported("label-studio")
    found = []
    tasks = export.json("tasks.json")
    for task in tasks:
        key = task["data"]["key"]
        (prediction,) = task["predictions"]
        offered = {label["value"] for label in task["data"]["phrases"]}
        for result in prediction["result"]:
            value = result["value"]
            (text,) = value["rectanglelabels"]
            assert text in offered
            start = task["data"]["caption"].index(text)
            w, h = result["original_width"] / 100, result["original_height"] / 100
            x, y = value["x"] * w, value["y"] * h
            corners = (x, y, x + value["width"] * w, y + value["height"] * h)
            found.append((key, start, start + len(text), *corners, result["score"]))
    expected = truth(run)
    repeated = {
        (key, captions(run)[key][s:e])
        for key, s, e, *_ in expected
        if captions(run)[key].index(captions(run)[key][s:e]) != s
    }
    where = [box for box in expected if (box[0], captions(run)[box[0]][box[1] : box[2]]) not in repeated]
    kept = [box for box in found if (box[0], captions(run)[box[0]][box[1] : box[2]]) not in repeated]
    same(kept, where)
    assert len(found) == len(expected)
    check_images(export, {t["data"]["key"]: t["data"]["image"].split("?d=")[1] for t in tasks})


def test_label_studio_accepts_its_tasks(exported: Callable[..., Exported]) -> None:
    name = "label_studio_sdk.label_interface"
    interface = pytest.importorskip(name, reason="label-studio-sdk is not installed; pip install it to run this")
    export = exported("label-studio", images=False)
    config = interface.LabelInterface(export.path("config.xml").read_text())
    config.validate()
    for task in export.json("tasks.json"):
        assert config.validate_task({"data": task["data"]})
        assert [config.validate_prediction(p, return_errors=True) for p in task["predictions"]] == [[]]


def test_fiftyone(exported: Callable[..., Exported], run: Any) -> None:
    export = exported("fiftyone")
    sizes = {row["key"]: (row["width"], row["height"]) for row in run.rows["pairs"]}
    found = []
    labels = export.json("labels.json")["labels"]
    for key, detections in labels.items():
        w, h = sizes[key]
        for detection in detections:
            x, y, dx, dy = detection["bounding_box"]
            start, end = detection["attributes"]["span"]
            assert detection["label"] == captions(run)[key][start:end]
            found.append((key, start, end, x * w, y * h, (x + dx) * w, (y + dy) * h, detection["confidence"]))
    same(found, truth(run))
    check_images(export, {key: f"data/{key}.jpg" for key in labels})


def test_fiftyones_own_importer_reads_it(exported: Callable[..., Exported], run: Any) -> None:
    """The importer alone: `Dataset.from_dir` would need a MongoDB server."""
    name = "fiftyone.utils.data.importers"
    importers = pytest.importorskip(name, reason="fiftyone is not installed; pip install it to run this")
    export = exported("fiftyone")
    found = []
    importer = importers.FiftyOneImageDetectionDatasetImporter(dataset_dir=str(export.folder), compute_metadata=True)
    with importer:
        for path, metadata, labels in importer:
            key, w, h = Path(path).stem, metadata.width, metadata.height
            assert Path(path).read_bytes() == (run.root / "images" / f"{key}.jpg").read_bytes()
            for detection in labels.detections:
                assert detection["caption"] == captions(run)[key]
                x, y, dx, dy = detection.bounding_box
                corners = (x * w, y * h, (x + dx) * w, (y + dy) * h)
                found.append((key, *detection["span"], *corners, detection.confidence))
    same(found, truth(run))


def test_the_card(exported: Callable[..., Exported], run: Any) -> None:
    with pytest.raises(UserError, match="run `phrasebox audit` first"):
        exported("card")
    run.audit()
    export = exported("card")
    text = export.path("README.md").read_text("utf-8")
    _, front, body = text.split("---\n", 2)
    card = yaml.safe_load(front)
    assert card["annotations_creators"] == ["machine-generated"] and card["size_categories"] == ["n<1K"]
    boxes = sum(len(row["boxes"]) for row in run.rows["pseudo"])
    assert f"| boxes | {boxes:,} |" in body
    assert f"| `CC0` | {len(run.rows['pairs'])} |" in body
    assert "| filter | score > 0.5, NMS per phrase at IoU 0.6 |" in body


def test_the_card_of_a_run_lies_beside_its_shards_and_the_run_stays_in_order(tmp_path: Path) -> None:
    """By the commands: verify takes no offence at the card, and its licence is that of the scenes' images."""
    cli = CliRunner()

    def phrasebox(*arguments: str) -> None:
        result = cli.invoke(app, arguments)
        assert result.exit_code == 0, (result.output, result.exception)

    config = tmp_path / "config.yaml"
    config.write_text("{corpus: tiny, ingest: {source: scenes, count: 4}, filter: {min_score: 0.1}}\n")
    run = str(tmp_path / "run")
    phrasebox("run", str(config), "--run", run, "--until", "audit", "--inline")
    phrasebox("export", run, "--format", "card")
    phrasebox("verify", run)
    text = (tmp_path / "run" / "shards" / "README.md").read_text("utf-8")
    assert "| source | `scenes` (`scenes`) |" in text and "| `OFL-1.1` | 4 |" in text
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["language_creators"] == ["machine-generated"] and front["license_name"] == "OFL-1.1"


def test_what_cannot_be_exported(shapes: Callable[..., Any], exported: Callable[..., Exported]) -> None:
    with pytest.raises(UserError, match="no format 'yolo'; there are coco"):
        exported("yolo")
    early = shapes().fill(3, until="labels")
    with pytest.raises(UserError, match="run `phrasebox filter` first"):
        export(early.all_parts(), "coco", open, config=early.config)  # type: ignore[arg-type]


def test_other_image_formats_keep_their_bytes_and_get_their_own_suffix(
    shapes: Callable[..., Any], tmp_path: Path
) -> None:
    run = shapes().fill(4)
    buffer = io.BytesIO()
    Image.new("RGB", (320, 240), "red").save(buffer, "PNG")
    key = next(row["key"] for row in run.rows["pseudo"] if row["boxes"])
    (run.root / "images" / f"{key}.jpg").write_bytes(buffer.getvalue())
    written = {}

    @contextmanager
    def create(name: str) -> Iterator[BinaryIO]:
        written[name] = io.BytesIO()
        yield written[name]

    export(run.all_parts(), "odvg", create, config=run.config)
    assert written[f"images/{key}.png"].getvalue() == buffer.getvalue()


def test_every_format_has_a_line_of_help() -> None:
    assert set(FORMATS) == {
        "coco",
        "coco-text",
        "odvg",
        "grit",
        "mdetr",
        "glip-tsv",
        "label-studio",
        "fiftyone",
        "card",
    }


@pytest.mark.parametrize("format", ["odvg", "grit"])
def test_ingest_reads_it_back_as_true_boxes(
    exported: Callable[..., Exported], run: Any, tmp_path_factory: pytest.TempPathFactory, format: str
) -> None:
    from pipeline.storage.files import PartFiles, SourceFiles
    from pipeline.storage.local import LocalStorage
    from stages.ingest.stage import IngestStage

    export = exported(format)
    file = {"odvg": "odvg.jsonl", "grit": "grit-00000.parquet"}[format]
    again = tmp_path_factory.mktemp("again")
    ingest = {"source": str(export.path(file)), "format": format}
    if format == "grit":  # its rows name no file: images are found by key
        ingest["images"] = str(export.folder / "images")
    config = Config.model_validate({"run": str(again), "part_size": 1000, "ingest": ingest})
    config = config.model_copy(update={"ingest": config.ingest.model_copy(update=IngestStage.resolve(config))})
    storage = LocalStorage(str(again))
    stage = IngestStage(config)
    found = []
    for part, piece in enumerate(stage.plan(SourceFiles(storage), config.part_size)):
        files = PartFiles(storage, part, piece, f"again-{part}", lambda done, total, message: None, {})
        result = stage.run_part(files)
        files.publish()
        assert result.counts.rejected == 0
        pairs = {row["key"]: row for row in files.written["pairs"].to_pylist()}
        for row in files.written["gold"].to_pylist():
            pair = pairs[row["key"]]
            name = Path(pair["image"]["uri"]).stem
            assert pair["source_id"] == {"odvg": f"images/{name}.jpg", "grit": name}[format]
            assert pair["caption"] == captions(run)[name]
            for box in row["boxes"]:
                span = row["spans"][box["span"]]
                found.append((name, span["start"], span["end"], box["x1"], box["y1"], box["x2"], box["y2"]))
    expected = [box[:7] for box in truth(run)]
    assert len(found) == len(expected)
    for a, b in zip(sorted(found), sorted(expected)):
        assert a[:3] == b[:3] and a[3:] == pytest.approx(b[3:], abs=0.01)
