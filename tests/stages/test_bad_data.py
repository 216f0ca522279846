"""A catalogue of odd and bad input: what becomes of each, with a good neighbour before and after it untouched.

An expected outcome is a reason code, or "" for input that comes through.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from schemas.reasons import REJECTED
from stages.images import decode_rgb
from stages.shard.stage import ShardStage
from stages.stage import RowError
from tests.stages import image_files
from tests.stages.conftest import Run
from tests.stages.image_files import image_file
from tests.stages.shard.test_stage import samples, write_labels
from tests.stages.tars import member, sample, tar, with_size, write

TRACE = Path(tempfile.gettempdir(), f"phrasebox-was-here-{os.getpid()}")


class Bomb:
    """Unpickling it would make a file."""

    def __reduce__(self) -> Any:
        return open, (str(TRACE), "w")


RED = Image.new("RGB", (24, 16), "red")
STRAY = image_file()[:20] + bytes(11) + b"\xff\0\r\n" + image_file()[20:]
XMP = b'http://ns.adobe.com/xap/1.0/\0<rdf:Description tiff:Orientation="6"/>'
LONG = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x06\0\0\0\0"
PROFILE = b"Raw profile type exif\0\nexif\n%8d\n%s\n" % (len(LONG), LONG.hex().encode())
IMAGES = {
    "a plain JPEG": (image_file(), ""),
    "a progressive JPEG": (image_file(progressive=True), ""),
    "a CMYK JPEG": (image_file(mode="CMYK"), ""),
    "a grey JPEG": (image_file(mode="L"), ""),
    "a JPEG turned by its EXIF": (image_file(orientation=6), ""),
    "a JPEG with trailing data": (image_file() + b"<script>" * 50, ""),
    "two JPEGs in one file": (image_file() + image_file(), ""),
    "a JPEG with a large comment": (image_files.save(RED, "JPEG", comment=b"x" * 60_000), ""),
    "a JPEG with stray bytes between its segments": (STRAY, ""),
    "a JPEG with fill bytes before a marker": (image_file().replace(b"\xff\xdb", b"\xff" * 40 + b"\xdb", 1), ""),
    "a JPEG turned by its XMP": (image_files.jpeg_with((0xE1, XMP)), ""),
    "a JPEG turned by an orientation of four bytes": (image_files.jpeg_with((0xE1, LONG)), ""),
    "a JPEG with a broken EXIF block": (image_files.jpeg_with((0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff")), ""),
    "a JPEG with an EXIF block in two segments": (
        image_files.jpeg_with((0xE1, LONG[:20]), (0xE1, b"Exif\0\0" + LONG[20:])),
        "",
    ),
    "a JPEG whose segment is longer than the file": (
        image_file()[:20] + b"\xff\xe1\xff\xff" + image_file()[20:],
        "truncated_image",
    ),
    "a PNG": (image_file("PNG"), ""),
    "a PNG turned by ImageMagick's profile": (image_files.png_with((b"tEXt", PROFILE)), ""),
    "a PNG with a packed text": (
        image_files.png_with((b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(500_000)))),
        "",
    ),
    "a WebP with an EXIF block that its flags deny": (image_files.webp_with(0, (b"EXIF", LONG[6:])), ""),
    "a PNG named .jpg": (image_file("PNG"), ""),
    "an interlaced PNG": (image_file("PNG", interlace=True), ""),
    "a 16-bit grey PNG": (image_files.grey16(40_000), ""),
    "a 16-bit colour PNG": (image_files.png(4, 4, 16, 2, (b"\0" + b"\x9c\x40\1\0\xff\xff" * 4) * 4), ""),
    "a palette PNG": (image_file("PNG", "P"), ""),
    "a palette PNG with transparency": (image_files.save(RED.quantize(4), "PNG", transparency=0), ""),
    "a PNG with alpha": (image_files.save(RED.convert("RGBA"), "PNG"), ""),
    "a black and white PNG": (image_file("PNG", "1"), ""),
    "a PNG of one animation frame": (
        image_files.png(1, 2, 8, 2, b"\0abc" * 2, image_files.png_chunk(b"acTL", b"\0\0\0\1\0\0\0\0")),
        "image_too_small",
    ),
    "a WebP": (image_file("WEBP"), ""),
    "a lossless WebP with alpha": (image_files.save(RED.convert("RGBA"), "WEBP", lossless=True), ""),
    "no bytes": (b"", "empty_image"),
    "an HTML error page": (b"<!DOCTYPE html><title>403 Forbidden</title>", "not_an_image"),
    "zeros": (bytes(5000), "not_an_image"),
    "text": (b"not an image at all, only words", "not_an_image"),
    "a pickle": (pickle.dumps(Bomb()), "not_an_image"),
    "a GIF": (image_file("GIF"), "unsupported_format"),
    "an animated GIF": (image_files.animated("GIF"), "unsupported_format"),
    "a BMP": (image_file("BMP"), "unsupported_format"),
    "a TIFF": (image_file("TIFF"), "unsupported_format"),
    "an AVIF": (image_files.isobmff(b"avif"), "unsupported_format"),
    "a HEIC": (image_files.isobmff(b"heic"), "unsupported_format"),
    "a JPEG 2000": (b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(50), "unsupported_format"),
    "a JPEG XL": (b"\xff\x0a" + bytes(50), "unsupported_format"),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "unsupported_format"),
    "a PDF": (b"%PDF-1.7 ...", "unsupported_format"),
    "a lossless JPEG": (image_file().replace(b"\xff\xc0", b"\xff\xc3", 1), "unsupported_format"),
    "an animated PNG": (image_files.animated("PNG"), "animated_image"),
    "an animated WebP": (image_files.animated("WEBP"), "animated_image"),
    "a JPEG without its end": (image_file()[:-10], "truncated_image"),
    "a JPEG cut in the header": (image_file()[:90], "truncated_image"),
    "a JPEG of three bytes": (image_file()[:3], "truncated_image"),
    "a JPEG of height 0": (
        image_file().replace(b"\x08\x00\x10\x00\x18", b"\x08\x00\x00\x00\x18", 1),
        "truncated_image",
    ),
    "a PNG without its end": (image_file("PNG")[:-20], "truncated_image"),
    "a PNG of width 0": (image_files.png(0, 4, 8, 2, b""), "truncated_image"),
    "a PNG without pixels": (image_file("PNG")[:33] + image_files.png_chunk(b"IEND", b""), "truncated_image"),
    "a WebP cut short": (image_file("WEBP")[:-30], "truncated_image"),
    "a single pixel": (image_files.save(Image.new("RGB", (1, 1)), "PNG"), "image_too_small"),
    "a line of one pixel": (image_files.save(Image.new("RGB", (500, 1)), "JPEG"), "image_too_small"),
    "a decompression bomb": (image_files.bomb(), "image_too_large"),
    "a JPEG that claims 65,500 pixels a side": (
        image_file().replace(b"\x08\x00\x10\x00\x18", b"\x08\xff\xdc\xff\xdc", 1),
        "image_too_large",
    ),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images(run: Run, tmp_path: Path, name: str) -> None:
    data, expected = IMAGES[name]
    members = [*sample("0"), *sample("odd", image=data), *sample("1")]
    pairs = run.ingest(source=write(tmp_path / "a.tar", tar(*members)))
    check(run, pairs, expected)
    if not expected:
        image = decode_rgb(run.image(pairs[1]), 10**6)
        assert image.shape == (pairs[1]["height"], pairs[1]["width"], 3)
    elif expected != "image_too_small":
        with pytest.raises(RowError, match=expected):
            decode_rgb(data, 10**8)


def check(run: Run, pairs: Any, expected: Any) -> None:
    """Beside the outcome: the good pairs before and after are what they are without the odd one."""
    assert [pair["source_id"] for pair in pairs] == (["0", "1"] if expected else ["0", "odd", "1"])
    assert run.rejects() == ({"odd": expected} if expected else {})
    assert not expected or expected in REJECTED
    assert [pairs[0]["key"], pairs[-1]["key"]] == ["000000000000", "000000000002"]
    if pairs[0]["image"] is None:
        assert (pairs[0]["caption"], pairs[-1]["caption"]) == ("before", "after")
        return
    for pair in (pairs[0], pairs[-1]):
        assert (pair["caption"], pair["width"], pair["height"]) == ("a red ball", 24, 16)
        assert run.image(pair) == image_file() and pair["sha256"] == hashlib.sha256(image_file()).hexdigest()


CAPTIONS = {
    "nothing": ("", ""),
    "only punctuation": ("?!... --- ***", ""),
    "white space": (" \t \u00a0\u200b ", ""),
    "100 kB": ("word " * 20_000, "caption_too_large"),
    "the longest allowed": ("x" * 20_000, ""),
    "emoji": ("a \U0001f469\u200d\U0001f680 on the \U0001f319", ""),
    "another script": ("كلب أحمر و 猫 и собака", ""),
    "right-to-left marks": ("\u202eevil\u202c \u2066text\u2069", ""),
    "combining marks": ("Z̷̢̛̪͔" * 50, ""),
    "a script tag": ("<script>alert(1)</script>", ""),
    "a terminal escape": ("\x1b[31mred\x1b[0m \x07", ""),
    "line ends": ("one\ntwo\r\nthree\u2028four", ""),
    "a NUL": ("a\0dog", "caption_control_characters"),
    "a lone surrogate": ("a \ud83d dog", "caption_control_characters"),
    "a number": (17, "caption_not_text"),
    "an object": ({"en": "a dog"}, "caption_not_text"),
    "true": (True, "caption_not_text"),
    "null": (None, "missing_caption"),
    "NaN": (float("nan"), "missing_caption"),
}


@pytest.mark.parametrize("name", CAPTIONS)
def test_captions(run: Run, tmp_path: Path, name: str) -> None:
    caption, expected = CAPTIONS[name]
    rows = [{"id": "0", "caption": "before"}, {"id": "odd", "caption": caption}, {"id": "1", "caption": "after"}]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)).encode())
    pairs = run.ingest(source=path)
    check(run, pairs, expected)
    if not expected:
        assert pairs[1]["caption"] == caption


TEXT = (("odd.txt", b"a dog"),)
JPG = (("odd.jpg", image_file()),)
BIG = member("odd.jpg", bytes(3000))
TARS = {
    "no .txt but a .json": ([*JPG, ("odd.json", b'{"caption": "x"}')], ""),
    "no .json": ([*JPG, *TEXT], ""),
    "no caption at all": ([*JPG], "missing_caption"),
    "a .json that is null": ([*JPG, ("odd.json", b"null")], "bad_record"),
    "a .json without a caption": ([*JPG, ("odd.json", b"{}")], "missing_caption"),
    "an empty .json": ([*JPG, ("odd.json", b"")], "bad_record"),
    "an empty .txt": ([*JPG, ("odd.txt", b"")], ""),
    "a .txt that is not UTF-8": ([*JPG, ("odd.txt", b"caf\xe9")], "caption_not_text"),
    "a .txt of 5 MB": ([*JPG, ("odd.txt", b"x" * 5_000_000)], "caption_too_large"),
    "no image": ([*TEXT, ("odd.json", b"{}")], "missing_image"),
    "an image in capitals": ([("odd.JPG", image_file()), *TEXT], ""),
    "an image named .jpeg": ([("odd.jpeg", image_file()), *TEXT], ""),
    "a .gif": ([("odd.gif", image_file("GIF")), *TEXT], "unsupported_format"),
    "a pickle beside it": ([*JPG, *TEXT, ("odd.pkl", pickle.dumps(Bomb())), ("odd.pyd", pickle.dumps(Bomb()))], ""),
    "a JPEG named .png": ([("odd.png", image_file()), *TEXT], ""),
    "a mask beside it": ([*JPG, ("odd.seg.png", image_file("PNG")), *TEXT], ""),
    "a symbolic link": ([member("odd.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd"), *TEXT], "unsafe_member"),
    "a hard link": ([member("odd.jpg", type=tarfile.LNKTYPE, linkname="0.jpg"), *TEXT], "unsafe_member"),
    "a device": ([member("odd.jpg", type=tarfile.CHRTYPE), *TEXT], "unsafe_member"),
    "a sparse file": ([member("odd.jpg", b"x", type=tarfile.GNUTYPE_SPARSE), *TEXT], "unsafe_member"),
    "a link as caption": ([*JPG, member("odd.txt", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "unsafe_member"),
    "a size of 8 GiB": ([with_size(BIG, b"77777777777\0"), *TEXT], "unsafe_member"),
    "a size beyond 64 bits": ([with_size(BIG, b"\x80" + b"\xff" * 11), *TEXT], "unsafe_member"),
    "a negative size": ([with_size(BIG, b"\xff" * 12), *TEXT], "unsafe_member"),
    "a pax size of 1 TB": (
        [member("odd.jpg", b"x", tarfile.PAX_FORMAT, pax_headers={"size": "1000000000000"}), *TEXT],
        "unsafe_member",
    ),
    "a broken pax header": ([member("odd", b"99 path=x", type=b"x"), *JPG, *TEXT], ""),
    "a pax header with NUL": ([member("odd", b"13 path=\0dd\n\n", type=b"x"), ("x", b""), *JPG, *TEXT], ""),
    "a global pax header": ([member("odd", b"52 comment=%s\n" % (b"0" * 40), type=b"g"), *JPG, *TEXT], ""),
    "a folder": ([member("odd", type=tarfile.DIRTYPE), *JPG, *TEXT], ""),
    "a caption named .cap": ([*JPG, ("odd.cap", b"a dog")], ""),
    "a caption in capitals": ([*JPG, ("odd.TXT", b"a dog")], ""),
    "a .json that is a list": ([*JPG, ("odd.json", b'["a dog"]')], "bad_record"),
    "a .json whose caption is a number": ([*JPG, ("odd.json", b'{"caption": 7}')], "caption_not_text"),
    "a file of macOS beside it": ([*JPG, *TEXT, ("._odd.jpg", b"\0\5\x16\7"), ("__MACOSX/._odd.jpg", b"")], ""),
    "hidden and nameless files": ([(".odd.jpg", b""), ("README", b"hello"), *JPG, *TEXT], ""),
}


@pytest.mark.parametrize("name", TARS)
def test_tars(run: Run, tmp_path: Path, name: str) -> None:
    members, expected = TARS[name]
    data = tar(*sample("0"), *members, *sample("1"))
    check(run, run.ingest(source=write(tmp_path / "a.tar", data)), expected)


NAMES = [
    "../../odd",
    "/odd",
    "a/../../odd",
    "odd/" * 20 + "odd",
    "o\u202edd",
    "<b>odd</b>",
    "o\x1b[31mdd",
    "o d d",
    "odd.2024.01",
    "ödd",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_stay_names(run: Run, tmp_path: Path, name: str) -> None:
    members = [
        member(f"{name}.jpg", image_file(), tarfile.GNU_FORMAT),
        member(f"{name}.txt", b"a dog", tarfile.GNU_FORMAT),
    ]
    pairs = run.ingest(source=write(tmp_path / "in/a.tar", tar(*sample("0"), *members, *sample("1"))))
    assert [pair["source_id"] for pair in pairs] == ["0", name, "1"]
    write_labels(run.io(), pairs)
    ShardStage(run.config(corpus="demo")).run_part(run.io())
    stored = samples(run.root / "shards/0000000-000.tar")
    assert [member_name for member_name, _, _ in stored] == [f"demo-{pair['key']}.jpg" for pair in pairs]
    assert [record["source_id"] for _, _, record in stored] == ["0", name, "1"]
    written = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.parts[0] in ("in", "run") and "odd" not in str(path) for path in written)


WHOLE = tar(*sample("0"), *sample("1"), *sample("2"))
ONE = len(tar(*sample("0"))) - 1024
FILES = {
    "cut within an image": (WHOLE[: ONE + 600], ["0"], ["truncated_source"]),
    "cut within a header": (WHOLE[: ONE + 100], ["0"], ["damaged_source"]),
    "cut before the end marker": (WHOLE[: 3 * ONE], ["0", "1", "2"], []),
    "cut within the end marker": (WHOLE[: 3 * ONE + 100], ["0", "1", "2"], []),
    "followed by noise": (WHOLE + b"noise" * 999, ["0", "1", "2"], []),
    "noise in the middle": (WHOLE[:ONE] + b"noise!!!" * 64 + WHOLE[ONE:], ["0", "1", "2"], ["damaged_source"]),
    "the same name twice": (tar(*sample("0"), *sample("0", "again"), *sample("1")), ["0", "1"], ["duplicate_sample"]),
    "only noise": (b"no tar at all " * 100, [], ["damaged_source"]),
    "a pickle by the name of a tar": (pickle.dumps(Bomb()) + bytes(512), [], ["damaged_source"]),
    "empty": (b"", [], []),
    "only zeros": (bytes(10240), [], []),
}


@pytest.mark.parametrize("name", FILES)
def test_whole_tars(run: Run, tmp_path: Path, name: str) -> None:
    data, good, rejected = FILES[name]
    write(tmp_path / "in/a.tar", data)
    write(tmp_path / "in/b.tar", tar(*sample("neighbour")))
    pairs = run.ingest(source=str(tmp_path / "in"))
    assert [pair["source_id"] for pair in pairs] == [*good, "neighbour"]
    assert [row["reason"] for row in run.rows("rejects/ingest")] == rejected


def test_nothing_was_ever_unpickled() -> None:
    assert not TRACE.exists()
