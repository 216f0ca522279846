"""Files, `--set` and `--run` make one config; whoever is wrong is told where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from toys import PROJECT, Toy, ToyPhrases

from pipeline.run.config import CONFIG, apply_setting, dump, load_config, parse_yaml, resolve, write_config
from pipeline.storage.local import LocalStorage
from schemas.config import Config
from stages.stage import Stage, UserError


def test_set_wins_over_the_file_and_run_over_both(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("run: of-the-file\npart_size: 7\nfilter:\n  min_score: 0.3\n  max_aspect: 9\nlabel:\n")
    config = load_config(str(file), ["filter.min_score=0.6", "run=of-set"], str(tmp_path / "run"))
    assert (config.run, config.part_size, config.label) == (str(tmp_path / "run"), 7, Config().label)
    assert (config.filter.min_score, config.filter.max_aspect) == (0.6, 9)


def test_a_run_folder_has_its_own_config_and_an_empty_one_the_defaults(tmp_path: Path) -> None:
    run = str(tmp_path)
    assert load_config(None, [], run) == Config(run=run)
    write_config(LocalStorage(run), Config.model_validate({"run": "elsewhere", "part_size": 5}))
    assert load_config(None, [], run) == Config.model_validate({"run": run, "part_size": 5})


def test_a_config_is_read_as_it_was_written_and_is_written_once(tmp_path: Path) -> None:
    config = Config.model_validate({"run": "ö", "audit": {"pictures": 3}, "ingest": {"source": "on: 'off' # x"}})
    assert Config.model_validate(yaml.safe_load(dump(config))) == config
    write_config(LocalStorage(str(tmp_path)), config)
    written = (tmp_path / CONFIG).stat().st_mtime_ns
    write_config(LocalStorage(str(tmp_path)), config)
    assert (tmp_path / CONFIG).stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("filter.min_score=0.6", {"filter": {"min_score": 0.6}}),
        (" filter.min_score = 6e-1", {"filter": {"min_score": "6e-1"}}),  # YAML 1.1 wants the dot
        ("train.mix=[{source: gold, weight: 2}]", {"train": {"mix": [{"source": "gold", "weight": 2}]}}),
        ("ingest.source=a=b", {"ingest": {"source": "a=b"}}),
        ("label.weights=", {"label": {"weights": None}}),
        ("run=x", {"run": "x"}),
    ],
)
def test_the_value_of_a_setting_is_yaml(setting: str, expected: dict[str, Any]) -> None:
    tree: dict[str, Any] = {"label": None} if setting.startswith("label") else {}
    apply_setting(tree, setting)
    assert tree == expected


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("filter.min_score", "expected key=value"),
        ("=3", "expected key=value"),
        ("filter..min_score=3", "expected key=value"),
        ("filter.min_score=[", "the value is not valid YAML"),
        ("run.folder=x", "run is no section"),
    ],
)
def test_a_setting_that_is_none(setting: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        apply_setting({"run": "x"}, setting)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"a: [", "here: not valid YAML"),
        (b"\xff\xfe\x00", "here: not valid YAML"),
        (b"- a\n- b\n", "here: a config is a mapping of sections, not a list"),
        (b"!!python/object/apply:os.system ['true']", "here: not valid YAML"),  # nothing is constructed
    ],
)
def test_a_file_that_is_no_config(data: bytes, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        parse_yaml(data, "here")


def test_an_empty_file_and_an_empty_section_are_defaults(tmp_path: Path) -> None:
    assert parse_yaml(b"# nothing\n", "here") == {}
    (tmp_path / "a.yaml").write_text("filter:\n")
    assert load_config(str(tmp_path / "a.yaml")) == Config()


def test_every_mistake_has_a_line_and_a_near_or_moved_key_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("fliter: {}\npart_size: none\nlabel: {min_score: 1}\nnonsense: 1\n")
    with pytest.raises(UserError) as error:
        load_config(str(file), ["filter.min_score=2"])
    assert sorted(str(error.value).splitlines()) == [
        f"{file}: filter.min_score: input should be less than or equal to 1, not 2",
        f"{file}: fliter: unknown key; did you mean filter?",
        f"{file}: label.min_score: unknown key; did you mean filter.min_score?",
        f"{file}: nonsense: unknown key; `phrasebox config --help` says where all keys are listed",
        f"{file}: part_size: input should be a valid integer, unable to parse string as an integer, not 'none'",
    ]


def test_a_folder_and_a_missing_file_are_no_config(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such config file"):
        load_config(str(tmp_path / "none.yaml"))
    with pytest.raises(UserError, match="cannot be read as a config file"):
        load_config(str(tmp_path))


class Resolving(ToyPhrases):
    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        return {"max_words": 5} if config.phrases.backend == "auto" else {}


class Failing(Toy):
    name = "label"

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        raise UserError("label.weights: no such file")


def test_what_stages_resolve_is_written_out_and_only_wanted_ones_may_fail() -> None:
    project: list[type[Stage]] = [PROJECT[0], Resolving, Failing]
    resolved = resolve(Config(), project, [Resolving])
    assert resolved.phrases.max_words == 5 and resolved.label == Config().label
    explicit = Config.model_validate({"phrases": {"backend": "nltk"}})
    assert resolve(explicit, project, [Resolving]) == explicit
    with pytest.raises(UserError, match=r"label\.weights: no such file"):
        resolve(Config(), project, [Failing])
