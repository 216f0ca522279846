"""The whole recipe at its smallest, by its own commands: from photos to a row of figures; and a second call."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recipes.glip_photos_coco.__main__ import WEIGHTS, arguments, main, steps
from tests.photos import PHOTOS, few_photos

RECORD = Path("benchmarks/results/photos_teacher.json")
SMALL = ("train.steps=2", "train.batch_size=2", "train.warmup=1", "train.device=cpu", "train.loaders=1")


def test_the_commands_are_those_of_the_page() -> None:
    page = " ".join((Path(__file__).parents[3] / "recipes/glip_photos_coco/README.md").read_text().split())
    modules = [step.command[1] for step in steps(arguments().parse_args([]))]
    named = [module for module in modules if module != "pipeline.cli"]
    assert len(named) == 5 and modules.count("pipeline.cli") == 1
    assert [module for module in named if f"python -m {module}" not in page] == []


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="no ../shared/data/photos")
def test_from_photos_to_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shared = few_photos(tmp_path / "shared")
    monkeypatch.chdir(tmp_path)
    RECORD.parent.mkdir(parents=True)
    RECORD.write_text(json.dumps({"models": {"glip-photos": {"what": "kept"}}, "speed": {"what": "kept"}}))
    options = ["--shared", str(shared), "--precision=0", "--start=--photos 4 --steps 2"]
    main([*options, *(f"--set={setting}" for setting in SMALL)])
    found = json.loads(RECORD.read_text())
    assert found["models"]["glip-photos"] == found["speed"] == {"what": "kept"}
    clean = found["models"]["glip-photos-coco"]
    assert clean["flickr_gold"]["photos"] == 4 and clean["coco_captions"]["photos"] in (1, 2, 3)
    assert clean["coco_ap"]["AP"] is not None and 5e6 < Path(WEIGHTS).stat().st_size < 16e6
    capfd.readouterr()
    main(options)
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("python -m")]
    assert len(lines) == 1 and "benchmarks.photos_teacher" in lines[0]
