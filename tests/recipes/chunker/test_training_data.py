"""What the chunker is trained on: annotated captions, made-up ones, and the mended labels of parsers."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from recipes.chunker import augment, fit, mend, patterns, real, silver, templates

ROOT = Path(__file__).resolve().parents[3]
CAPTIONS = [
    ROOT.parent / "shared" / "data" / "captions" / name for name in ("conceptual_captions_val.tsv", "flickr8k_20k.tsv")
]


def well_formed(row: dict[str, Any]) -> bool:
    end = 0
    for start, stop in row["spans"]:
        text = row["caption"][start:stop]
        if not (end <= start < stop <= len(row["caption"])) or text != text.strip():
            return False
        end = stop
    return True


def test_annotated_captions_are_well_formed() -> None:
    rows = fit.read_annotated(fit.ANNOTATED)
    assert len(rows) >= 1000
    assert all(well_formed(row) for row in rows)


def test_real_captions_are_told_by_place_and_hold_no_text(tmp_path: Path) -> None:
    places, splits = set(), {"dev": 0, "train": 0}
    for entry in real.REAL.read_text(encoding="utf-8").splitlines():
        file, line, check, split, spans = entry.split("\t")
        places.add((file, int(line)))
        splits[split] += 1
        edges = [int(edge) for span in spans.split() for edge in span.split("-")]
        assert edges == sorted(edges) and len(check) == 8
    assert len(places) == sum(splits.values()) and min(splits.values()) >= 150


def test_another_caption_file_is_an_error(tmp_path: Path) -> None:
    table, captions = tmp_path / "real.tsv", tmp_path / "captions.tsv"
    captions.write_text("a dog\nx#1\ta cat sleeps\n", encoding="utf-8")
    table.write_text(f"captions.tsv\t2\t{real.check_of('a cat sleeps')}\tdev\t0-5\n", encoding="utf-8")
    (row,) = real.real_rows([captions], ("dev",), table)
    assert (row["caption"], row["spans"]) == ("a cat sleeps", [[0, 5]])
    assert real.real_rows([captions], ("train",), table) == []
    captions.write_text("a dog\nx#1\ta cat sits\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"captions\.tsv, line 2"):
        real.real_rows([captions], ("dev",), table)


def test_no_training_sees_what_quality_is_measured_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, web = tmp_path / "photos.tsv", tmp_path / "web.tsv"
    photos.write_text(
        "a.jpg#0\tA dog runs .\na.jpg#1\tThe dog is fast\na.jpg#2\tbrown dog\n"
        "b.jpg#0\tthe dog , is FAST !\nb.jpg#1\ta cat\nc.jpg#0\ta hen\nd.jpg#0\ta duck\nd.jpg#1\ttwo ducks\n",
        encoding="utf-8",
    )
    web.write_text("a dog runs\thttp://x.example\nsome goat\thttp://y.example\n", encoding="utf-8")
    tables = {"REAL": [("photos.tsv", 3, "brown dog", "train"), ("photos.tsv", 6, "a hen", "train")]}
    tables["HELD_OUT"] = [("photos.tsv", 1, "A dog runs .", "test")]
    for name, rows in tables.items():
        table = tmp_path / f"{name}.tsv"
        lines = (f"{file}\t{line}\t{real.check_of(text)}\t{split}\t0-{len(text)}" for file, line, text, split in rows)
        table.write_text("\n".join(lines) + "\n", encoding="utf-8")
        monkeypatch.setattr(real, name, table)
    monkeypatch.setattr(silver, "REAL", real.REAL)
    assert silver.captions_to_label([photos, web], ["a duck"]) == ["a cat", "some goat"]
    assert [row["caption"] for row in real.train_rows([photos, web])] == ["a hen"]


@pytest.mark.skipif(not all(path.exists() for path in CAPTIONS), reason="../shared/data/captions is not there")
def test_held_out_images_have_no_annotated_caption() -> None:
    lines = {path.name: path.read_text("utf-8").splitlines() for path in CAPTIONS}
    entries = [entry.split("\t") for table in (real.HELD_OUT, real.REAL) for entry in table.read_text().splitlines()]
    held_out, annotated = entries[:300], entries[300:]
    images = [lines[file][int(line) - 1].split("#")[0] for file, line, *_ in held_out if file.startswith("flickr8k")]
    others = {lines[file][int(line) - 1].split("#")[0] for file, line, *_ in annotated if file.startswith("flickr8k")}
    assert len(images) == len(set(images)) == 150 and not set(images) & others
    assert not {tuple(entry[:2]) for entry in held_out} & {tuple(entry[:2]) for entry in annotated}
    assert [entry[3] for entry in held_out].count("test") == 200


def test_made_up_and_web_like_captions_keep_their_spans() -> None:
    rng = random.Random(5)
    line = augment.line_of({"caption": "a man in the dog 's red coat , waves", "spans": [[0, 5], [9, 28]]})
    bank = templates.phrase_bank([line])
    assert [" ".join(word.text for word in phrase) for phrase in bank] == ["a man", "the dog 's red coat"]
    for _ in range(300):
        assert well_formed(augment.row_of(patterns.made_up(bank, rng)))
        assert well_formed(augment.row_of(augment.websome(line, rng)))


@pytest.mark.parametrize(
    ("text", "tags", "chunks", "expected"),
    [
        ("close up of a bee", "VB RP IN DT NN", [(3, 5)], ["close up", "a bee"]),
        ("a close up shot of bees", "DT JJ RP NN IN NNS", [(0, 4), (5, 6)], ["a close up shot", "bees"]),
        ("they close up the shop", "PRP VBP RP DT NN", [(0, 1), (3, 5)], ["the shop"]),
        ("boy in a hat", "UH IN DT NN", [(2, 4)], ["boy", "a hat"]),
        ("cross the road", "VB DT NN", [(1, 3)], ["the road"]),
        ("two cats and dogs", "CD NNS CC NNS", [(0, 2), (3, 4)], ["two cats", "dogs"]),
        ("a bus in front of it", "DT NN IN NN IN PRP", [(0, 2), (3, 4), (5, 6)], ["a bus"]),
    ],
)
def test_mended_parses(text: str, tags: str, chunks: list[tuple[int, int]], expected: list[str]) -> None:
    forms = text.split()
    heads, deps = list(range(len(forms))), ["dep"] * len(forms)
    spans = mend.mend(mend.Parse(forms, [True] * len(forms), tags.split(), deps, heads, chunks))
    assert [" ".join(forms[start:end]) for start, end in spans] == expected
