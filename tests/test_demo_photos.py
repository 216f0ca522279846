"""The photographs of the demo: free, small, captioned, and labelled up to a report."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from pathlib import Path

from PIL import Image
from typer.testing import CliRunner

from pipeline.cli import app

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = ROOT / "configs" / "photos"
NAMES = sorted(path.name for path in PHOTOS.glob("*.jpg"))


def table() -> dict[str, list[str]]:
    """Rows of the README by file: author, licence, package, file there, where it says so."""
    rows = re.findall(r"^\| `(\w+\.jpg)` \| (.+) \|$", (PHOTOS / "README.md").read_text("utf-8"), re.MULTILINE)
    return {name: rest.split(" | ") for name, rest in rows}


def captions() -> list[dict[str, str]]:
    with open(PHOTOS / "captions.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_photograph_has_its_author_its_licence_and_its_source() -> None:
    rows, notice = table(), (ROOT / "NOTICE").read_text("utf-8")
    assert sorted(rows) == NAMES and 6 <= len(NAMES) <= 12
    for author, licence, package, *_ in rows.values():
        assert author.partition(" (")[0] in " ".join(notice.split())
        assert licence in ("public domain", "CC0 1.0") and re.search(r" \d[\d.-]+ \((PyPI|Debian)\)$", package)


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in PHOTOS.iterdir()) < 3 * 2**20
    for name in NAMES:
        with Image.open(PHOTOS / name) as image:
            assert image.format == "JPEG" and max(image.size) <= 640 and not image.getexif()


def test_each_has_one_or_two_captions_and_its_licence_in_them() -> None:
    rows = captions()
    assert sorted({row["image"] for row in rows}) == NAMES
    for name in NAMES:
        found = [row for row in rows if row["image"] == name]
        assert len({row["caption"] for row in found}) == len(found) in (1, 2)
        assert {row["license"] for row in found} == {
            {"public domain": "Public domain"}.get(table()[name][1], "CC0-1.0")
        }


def test_their_run_ends_in_a_report(tmp_path: Path) -> None:
    arguments = [
        "run",
        str(ROOT / "configs/photos.yaml"),
        "--run",
        str(tmp_path / "run"),
        "--until",
        "audit",
        "--inline",
    ]
    done = CliRunner().invoke(app, [*arguments, "--set", f"ingest.source={PHOTOS}"])
    assert done.exit_code == 0, done.output
    stats = json.loads((tmp_path / "run/report/stats.json").read_text())
    assert stats["pairs"] == stats["pairs_with_phrases"] == len(captions()) and not stats["rejected"]
    assert stats["phrases_asked"] >= 30  # enough to tell a teacher that does not know photographs
    page = (tmp_path / "run/report/index.html").read_text("utf-8")
    assert all(row["caption"] in page for row in captions())


def test_make_demo_runs_both() -> None:
    done = subprocess.run(["make", "--dry-run", "demo"], cwd=ROOT, capture_output=True, text=True, check=True)
    runs = [line for line in done.stdout.splitlines() if "phrasebox run" in line]
    assert [line.split("configs/")[1] for line in runs] == ["demo.yaml", "photos.yaml --until audit"]
