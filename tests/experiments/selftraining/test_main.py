"""The command line of the experiment."""

from __future__ import annotations

import pytest

from experiments.selftraining.__main__ import arguments, main
from experiments.selftraining.cells import Grid


def test_every_field_of_the_grid_is_an_option() -> None:
    given = ["--seeds=3,4", "--thresholds=0.25", "--word-substitution=0.75", "--images=9", "--threshold=0.4"]
    options = arguments().parse_args(["plan", *given])
    grid = Grid(**{name: getattr(options, name) for name in vars(Grid())})
    assert grid == Grid(seeds=(3, 4), thresholds=(0.25,), word_substitution=0.75, images=9, threshold=0.4)


def test_only_a_run_needs_the_weights_that_it_starts_with(capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "--start", "not/there.safetensors"])
    assert "left on one core" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--start", "not/there.safetensors"])
    assert "not/there.safetensors; experiments/selftraining/start.yaml" in capsys.readouterr().err
