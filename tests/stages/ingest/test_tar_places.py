"""Image and caption at unusual places of a tar: found, named by options, or asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.ingest.listing import Unclear
from stages.ingest.stage import IngestStage
from tests.stages.conftest import Run
from tests.stages.image_files import image_file
from tests.stages.tars import Member, plain_tar, sample

JPG = image_file()


def members(*samples: dict[str, Any]) -> list[Member]:
    """Samples by suffix: images where the value is True, JSON of dicts, text of strings."""
    found = []
    for number, parts in enumerate(samples):
        for suffix, value in parts.items():
            data = JPG if value is True else value.encode() if isinstance(value, str) else json.dumps(value).encode()
            found.append((f"s{number}.{suffix}", data))
    return found


PROMPT = [{"jpg": True, "json": {"prompt": "a dog", "url": "http://x"}}, {"jpg": True, "json": {"prompt": "a cat"}}]
RECAP = [{"jpg": True, "txt": f"{n}.jpg", "json": {"re_caption": text}} for n, text in enumerate(("a dog", "a cat"))]
DOTTED = [{"input.jpg": True, "outputs.txt": "a dog"}, {"input.jpg": True, "outputs.txt": "a cat"}]
SHORT = [{"img": True, "cap": "a dog"}, {"img": True, "cap": "a cat"}]
BOTH = [{"jpg": True, "txt": "short", "long.txt": text} for text in ("a dog", "a cat")]
TWO = [{"input.jpg": True, "target.jpg": True, "txt": text} for text in ("a dog", "a cat")]
ALT = [{"jpg": True, "json": {"alt_text": "a dog", "url": "http://x"}}, {"jpg": True, "json": {"alt_text": "a cat"}}]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize(
    ("samples", "options"),
    [
        (PROMPT, {"caption": "prompt"}),
        (RECAP, {"caption": "re_caption"}),
        (DOTTED, {}),
        (DOTTED, {"caption": "outputs.txt", "image": "input.jpg"}),
        (DOTTED, {"caption": ".outputs.TXT", "image": ".input.jpg"}),
        (SHORT, {}),
        (SHORT, {"caption": "cap", "image": "img"}),
        (BOTH, {"caption": "long.txt"}),
        (TWO, {"image": "input.jpg"}),
        (ALT, {}),
        (ALT, {"caption": "alt_text"}),
        ([{"jpg": True, "png": True, "txt": text} for text in ("a dog", "a cat")], {"image": "png"}),
    ],
)
def test_places_that_are_found_or_named(
    run: Run, tmp_path: Path, samples: list[dict[str, Any]], options: dict[str, str], mode: str
) -> None:
    pairs = run.ingest(1, source=plain_tar(tmp_path / "a.tar", members(*samples), mode), **options)
    assert [(pair["source_id"], pair["caption"]) for pair in pairs] == [("s0", "a dog"), ("s1", "a cat")]
    assert all(run.image(pair) == JPG for pair in pairs)


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        (PROMPT, {}, r"where are the captions\? set ingest\.caption; members: \.jpg, \.json; keys: prompt, url"),
        (RECAP, {}, r"the \.txt members hold no captions \('0\.jpg'\); set ingest\.caption; .*keys: re_caption"),
        ([{"jpg": True, "txt": "http://x/1.jpg"}], {}, "hold no captions"),
        (TWO, {}, r"the image may be \.input\.jpg or \.target\.jpg; set ingest\.image"),
        ([{"jpg": True, "json": {"title": "a", "comment": "b"}}], {}, r"set ingest\.caption; .*keys: title, comment"),
        ([{"jpg": True, "words": "a"}], {}, r"where are the captions\? set ingest\.caption; members: \.jpg, \.words"),
        (SHORT, {"image": "jpg"}, r"ingest\.image: a\.tar: no member \.jpg; there are \.cap, \.img"),
        (PROMPT, {"caption": "txt"}, r"ingest\.caption: a\.tar: no member \.txt, and no such key; members: .*prompt"),
    ],
)
def test_places_that_are_asked_for(
    run: Run, tmp_path: Path, samples: list[dict[str, Any]], options: dict[str, str], message: str
) -> None:
    with pytest.raises(Unclear, match=message):
        run.ingest(source=plain_tar(tmp_path / "a.tar", members(*samples)), **options)


def test_a_reject_lists_what_was_there(run: Run, tmp_path: Path) -> None:
    odd = [{"jpg": True, "json": {"x": "a", "n": 1}}, {"txt": "a", "npy": "b"}, {"jpg": True, "seg.png": True}]
    good = sample("good")
    run.ingest(source=plain_tar(tmp_path / "a.tar", [*good, *members(*odd)]))
    details = {row["source_id"]: (row["reason"], row["detail"]) for row in run.rows("rejects/ingest")}
    assert details == {
        "s0": ("missing_caption", "the sample has only: jpg, json; keys of its .json: x, n"),
        "s1": ("missing_image", "the sample has only: npy, txt"),
        "s2": ("missing_caption", "the sample has only: jpg, seg.png"),
    }


def test_a_sample_without_the_named_place_is_a_reject(run: Run, tmp_path: Path) -> None:
    samples = members(*PROMPT, {"jpg": True, "txt": "not this", "json": {"caption": "nor this"}})
    pairs = run.ingest(source=plain_tar(tmp_path / "a.tar", samples), caption="prompt")
    assert [pair["caption"] for pair in pairs] == ["a dog", "a cat"]
    assert run.rejects() == {"s2": "missing_caption"}


@pytest.mark.parametrize("column", [True, False])
def test_the_named_key_may_be_the_sidecars(run: Run, tmp_path: Path, column: bool) -> None:
    """Its columns are those of the .json; where the key is in the .json alone, it is read there."""
    path = plain_tar(tmp_path / "in/a.tar", members(*RECAP))
    rows = {"key": ["s0", "s1"], "status": ["success"] * 2, "url": ["http://x"] * 2}
    pq.write_table(pa.table(rows | ({"re_caption": ["from 0", "from 1"]} if column else {})), tmp_path / "in/a.parquet")
    pairs = run.ingest(source=path, caption="re_caption")
    assert [pair["caption"] for pair in pairs] == (["from 0", "from 1"] if column else ["a dog", "a cat"])
    assert {pair["url"] for pair in pairs} == {"http://x"}


def test_the_places_are_looked_for_in_the_first_tar_that_has_samples(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.tar").write_bytes(bytes(10240))
    plain_tar(tmp_path / "in/b.tar", members(*DOTTED))
    plain_tar(tmp_path / "in/c.tar", [(name.replace("s", "t", 1), data) for name, data in members(*DOTTED)])
    assert len(run.ingest(source=str(tmp_path / "in"))) == 4


def test_members_that_are_not_read_are_named(run: Run, tmp_path: Path) -> None:
    odd = [{"jpg": True, "txt": "a", "seg.png": True, "cls": "7", "json": {}}, {"jpg": True, "txt": "b", "cls": "8"}]
    path = plain_tar(tmp_path / "a.tar", [*members(*odd), ("README", b"x")])
    stage = IngestStage(run.config(ingest={"source": path}))
    stage.plan(run.io(), 10)
    assert stage.unused == {"kinds of members (.cls, .seg.png, README)": 3}
