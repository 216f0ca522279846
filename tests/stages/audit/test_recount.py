"""Every figure of a small run's stats.json equals that of a recount in plain Python: no key is left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.run.config import load_config
from stages.audit.checks import warnings
from tests.stages.audit.recount import Recount


def check(run: Path, config: Any) -> dict[str, Any]:
    stats: dict[str, Any] = json.loads((run / "report" / "stats.json").read_text("utf-8"))
    counted = Recount(run, config)
    expected = counted.stats()
    curves = stats.pop("rank_frequency")
    assert stats.pop("warnings") == warnings({**expected, "rank_frequency": curves})
    assert set(stats) == set(expected)
    for name in expected:
        assert stats[name] == expected[name], name
    for name, points in curves.items():
        ranked = counted.ranked(name)
        assert points == [[rank, ranked[rank - 1]] for rank, _ in points]
        assert [points[0][0], points[-1][0]] == [1, len(ranked)] and len(points) <= 120
    return stats


def test_a_made_run_with_everything_in_it(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40, seed=5).fill(130)
    run.audit()
    stats = check(run.root, run.config)
    assert stats["gold"]["boxes"] and stats["rejected"] and stats["dropped"]["labels"] and stats["other_script"]


def test_a_run_of_the_command(tmp_path: Path) -> None:
    """Scenes, the packaged teacher, every stage as a user starts it."""
    config = tmp_path / "config.yaml"
    config.write_text("{corpus: tiny, part_size: 8, ingest: {source: scenes, count: 20}, filter: {min_score: 0.4}}\n")
    run = tmp_path / "run"
    result = CliRunner().invoke(app, ["run", str(config), "--run", str(run), "--until", "audit", "--inline"])
    assert result.exit_code == 0, (result.output, result.exception)
    stats = check(run, load_config(None, (), str(run)))
    assert stats["parts"]["counted"] == 3 and stats["boxes"] > 10 and stats["gold"]["boxes"] > 20


def test_other_languages_raise_the_warning(tmp_path: Path) -> None:
    """By the command, on captions alone: two languages that are told by their words, one by its script."""
    english = ["a red ball on the table", "two dogs playing in the garden", "a woman with a hat on a bench"]
    others = ["Ein roter Ball liegt auf dem Tisch neben dem Fenster", "Красный мяч на столе"]
    others += ["Une femme avec un chapeau rouge dans la rue"]
    shares = {}
    for name, captions in {"english": english * 60, "mixed": english * 54 + others * 6}.items():
        source = tmp_path / f"{name}.tsv"
        rows = [f"{caption}\thttp://example.com/{i}.jpg" for i, caption in enumerate(captions)]
        source.write_text("\n".join(["caption\turl", *rows]) + "\n", "utf-8")
        config = tmp_path / f"{name}.yaml"
        config.write_text(f"{{corpus: {name}, ingest: {{source: {source}, format: table}}}}\n")
        run = tmp_path / name
        for arguments in (["run", str(config), "--run", str(run), "--until", "phrases"], ["audit", "--run", str(run)]):
            result = CliRunner().invoke(app, [*arguments, "--inline"])
            assert result.exit_code == 0, (result.output, result.exception)
        stats = json.loads((run / "report" / "stats.json").read_text("utf-8"))
        assert f"phrases    in {stats['pairs_with_phrases']} of 180 captions" in result.output
        shares[name] = {warning["code"]: warning["value"] for warning in stats["warnings"]}
    assert shares == {"english": {}, "mixed": {"other_language": 18 / 180}}
