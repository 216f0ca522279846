"""What kind of source it is: by the names of its files, and by what is in them where names do not tell."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from stages import json_stream
from stages.ingest import json_lines, odvg, table, webdataset
from stages.ingest.coco import is_captions
from stages.ingest.instances import KEYED
from stages.ingest.listing import Unclear, list_files
from stages.ingest.names import base_name, folder_of, folders_of_captions, is_image, suffix_of, without_suffix
from stages.ingest.roles import IMAGE_COLUMNS, is_caption
from stages.ingest.samples import TEXTS
from stages.ingest.sidecar import columns
from stages.stage import Files, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

SIDECAR = {"key", "status"}  # columns of img2dataset's lists
CAPTIONS = (
    ", or give each image its caption: in a .txt of its name beside it, or in a CSV with the columns image and caption"
)


def detect(config: IngestConfig, files: Files) -> str:
    """What `auto` comes to. Raises UserError."""
    found = list_files(files, config.source)
    if len(found) == 1 and found[0].uri == config.source:
        return _of_file(files, config.source)
    names = [file.uri for file in found]
    kinds = _of_folder(files, names)
    if len(kinds) != 1:
        what = f"it could be {' or '.join(sorted(kinds))}" if kinds else _nothing_known(names)
        advice = CAPTIONS if not kinds and any(map(is_image, names)) else ""
        raise Unclear(f"ingest.format: what kind of source is {config.source}? {what}; set ingest.format{advice}")
    (kind,) = kinds
    sidecars = [name for name in names if table.is_parquet(name)] if kind == "table" else []
    if sidecars:
        _refuse_sidecar_without_images(sidecars[0], columns(files, sidecars[0]))
    lines = [name for name in names if json_lines.is_json_lines(name)]
    return "odvg" if kind == "table" and lines and odvg.holds_odvg(files, lines[0]) else kind


def by_name(uri: str) -> str:
    """The format that a file's name alone tells; "" for others."""
    if webdataset.is_tar(uri):
        return "webdataset"
    looked_into = json_lines.is_json_lines(uri) or table.is_parquet(uri)
    return "table" if table.is_table(uri) and not looked_into else ""


def _of_file(files: Files, uri: str) -> str:
    if json_lines.is_json_lines(uri):
        return "odvg" if odvg.holds_odvg(files, uri) else "table"
    if uri.lower().endswith(".json"):
        return _of_json(files, uri)
    if table.is_parquet(uri):
        names = columns(files, uri)
        if set(names) >= SIDECAR:
            _refuse_sidecar(files, uri)
            _refuse_sidecar_without_images(uri, names)
        return "table"
    if is_image(uri) or not (by_name(uri) or _is_text(files, uri)):
        raise UserError(f"ingest.format: {uri} is a file of no known kind; set ingest.format if it is one all the same")
    return by_name(uri) or "table"


def _refuse_sidecar(files: Files, uri: str) -> None:
    """A sidecar alone would give captions without their images. Raises UserError."""
    stem = uri[: -len(".parquet")]
    for shard in (f"{stem}.tar", stem):
        try:
            files.list_source(shard)
        except OSError:
            continue
        raise Unclear(
            f"ingest.source: {uri} is the sidecar of {base_name(shard)}, which has the images; set ingest.source to"
            f" {shard if shard != stem else folder_of(uri)}, or ingest.format to table for the captions alone"
        )


def _refuse_sidecar_without_images(uri: str, names: Collection[str]) -> None:
    """Raises Unclear for a table of img2dataset, by its columns, that speaks of downloaded images and has none."""
    if set(names) >= SIDECAR and not set(names) & set(IMAGE_COLUMNS):
        raise Unclear(
            f"ingest.format: {uri} lists what img2dataset downloaded, and neither its tar nor an image is there; bring"
            " the tar, or set ingest.format to table for the captions alone"
        )


def _of_json(files: Files, uri: str) -> str:
    """A list of records is a table, and so is an object with one such list; COCO has two, or one without captions."""
    lists, captions = _lists_in(files, uri)
    records = [array for array, objects in lists.items() if objects]
    one_list = len(records) == 1 and (captions or "annotations" not in lists)
    return "table" if "" in lists or one_list else "coco"


def _lists_in(files: Files, uri: str) -> tuple[dict[str, bool], bool]:
    """The lists of a JSON file, by key ("" for a file that is one), and whether they have objects; and whether any of
    these has a caption. Empty for what is broken.
    """
    lists: dict[str, bool] = {}
    captions = False
    try:
        with files.open_source(uri) as stored:
            for array, _, value in json_stream.stream(stored, KEYED):
                lists[array] = lists.get(array, False) or isinstance(value, dict)
                captions = captions or (isinstance(value, dict) and any(map(is_caption, value)))
                if captions and (array == "" or {"annotations", "images"} <= lists.keys()):
                    break
    except ValueError:
        return {}, False
    return lists, captions


def _is_text(files: Files, uri: str) -> bool:
    with files.open_source(uri) as stored:
        return b"\0" not in stored.read(4096)


def _of_folder(files: Files, names: Sequence[str]) -> set[str]:
    images = [name for name in names if is_image(name)]
    tables = [name for name in names if table.is_table(name)]
    jsons = [name for name in names if name.lower().endswith(".json")]
    if _has_shards_of_files(images, tables):
        return {"folder"}
    kinds = {"webdataset"} if any(map(webdataset.is_tar, names)) else set()
    if any(not table.is_parquet(name) for name in tables) or (tables and not kinds):
        kinds.add("table")
    if _paired(images, names, TEXTS) or (not kinds and _paired(images, names, ("json",))):
        kinds.add("folder")
    captions = [name for name in jsons if is_captions(name)]
    if not kinds and not captions and len(jsons) == 1 and _lists_in(files, jsons[0])[1]:
        captions = jsons
    if captions:
        kinds.add(_of_json(files, captions[0]) if len(captions) == 1 else "coco")
    return kinds or ({"table"} if any(suffix_of(name) in ("txt", "token") for name in names) else set())


def _has_shards_of_files(images: Sequence[str], tables: Sequence[str]) -> bool:
    """img2dataset's output as files: a folder of images, and its sidecar beside it."""
    folders = {folder_of(name) for name in images}
    return any(table.is_parquet(name) and name[: -len(".parquet")] in folders for name in tables)


def _paired(images: Sequence[str], names: Sequence[str], suffixes: Sequence[str]) -> bool:
    """Whether an image has a file of its own name and of one of these suffixes, beside it or in a folder of them."""
    captions = [name for name in names if suffix_of(name) in suffixes]
    stems = set(map(without_suffix, captions))
    beside = any(name in stems or without_suffix(name) in stems for name in images)
    return beside or bool(folders_of_captions(images, captions))


def _nothing_known(names: Sequence[str]) -> str:
    suffixes = sorted({f".{suffix_of(name)}" for name in names if suffix_of(name)})
    what = f" ({', '.join(suffixes[:8])})" if suffixes else ""
    return f"{len(names)} files{what}, none of a known kind with captions"
