"""A small run of ten photos that lie on their side or not, down to the report."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from pipeline.cli import main

PHOTOS = 10
TURNED = 6  # the EXIF orientation of every other photo: shown after a quarter turn
SETTINGS = (
    "corpus=photos",
    "part_size=4",
    "ingest.format=folder",
    "label.teacher=glip-nano",
    "label.score_floor=0.03",
    "label.short=64",
    "label.long=96",
    "label.device=cpu",
    "filter.min_score=0.1",  # the boxes mean nothing; some are kept of every photo
    "shard.samples_per_shard=2",
)


def photo(number: int) -> Image.Image:
    """Upright, 60 x 40 pixels: a square in a corner of its own colour."""
    image = Image.new("RGB", (60, 40), "#dddddd")
    ImageDraw.Draw(image).rectangle((2, 2, 20, 20), fill=(25 * number, 255 - 25 * number, 90))
    return image


def run_command(command: str, run: str | Path, *settings: str) -> None:
    """`phrasebox COMMAND --run RUN --inline`, as typed."""
    sets = [word for setting in settings for word in ("--set", setting)]
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--run", str(run), "--inline", *sets])
    assert end.value.code == 0


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PHOTOS):
        image, exif = photo(number), Image.Exif()
        if number % 2:
            image, exif[0x0112] = image.transpose(Image.Transpose.ROTATE_90), TURNED
        image.save(folder / f"{number:02d}.png", exif=exif)
        (folder / f"{number:02d}.txt").write_text(f"a ball and two green kites, {number}")
    return folder


@pytest.fixture(scope="session")
def finished(source: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of the run. Nobody changes it."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "photos.yaml").write_text("{}")
    run_command(f"run {folder}/photos.yaml --until audit", folder / "run", *SETTINGS, f"ingest.source={source}")
    return str(folder / "run")
