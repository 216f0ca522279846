"""From a YAML file, `--set` and `--run` to the resolved config, with one clear line for every mistake."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.run.sections import config_class
from pipeline.storage.base import Storage
from pipeline.storage.open import open_storage
from schemas.config import Config, IngestConfig
from stages import STAGES, load_stage
from stages.ingest.sources import absolute
from stages.stage import Stage, UserError

CONFIG = "config.yaml"


def load_config(file: str | None, settings: Sequence[str] = (), run: str | None = None) -> Config:
    """The config of a command: `file`, else the one in the run folder, else the defaults; then `--set`, then `--run`.

    Raises UserError, with one line a mistake.
    """
    tree = read_yaml(file) if file is not None else read_run_config(run) if run is not None else {}
    if file is None:
        _forget_source(tree, settings)
    for setting in settings:
        apply_setting(tree, setting)
    if run is not None:
        tree["run"] = run
    return validated(tree, file or "config", config_class(map(load_stage, STAGES)))


def _forget_source(tree: dict[str, Any], settings: Sequence[str]) -> None:
    """What a run's config says of how its source is read does not hold for another source."""
    section, asked = tree.get("ingest"), dict[str, Any]()
    for setting in settings:
        if setting.partition("=")[0].strip() == "ingest.source":
            apply_setting(asked, setting)
    if isinstance(section, dict) and asked and absolute(str(asked["ingest"]["source"])) != section.get("source"):
        for name in IngestConfig.OF_SOURCE:
            section.pop(name, None)


def read_yaml(file: str) -> dict[str, Any]:
    try:
        data = open_storage_of(file)
    except FileNotFoundError:
        raise UserError(f"{file}: no such config file") from None
    except (IsADirectoryError, PermissionError) as error:
        raise UserError(f"{file}: cannot be read as a config file ({error.strerror})") from None
    return parse_yaml(data, file)


def open_storage_of(file: str) -> bytes:
    folder, _, name = file.rpartition("/")
    return open_storage(folder or ("/" if file.startswith("/") else ".")).read(name)


def parse_yaml(data: bytes, file: str) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{file}: not valid YAML: {problem}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UserError(f"{file}: a config is a mapping of sections, not a {type(tree).__name__}")
    return tree


def read_run_config(run: str) -> dict[str, Any]:
    """The config that the run was last made with; empty for a new run folder."""
    data = open_storage(run).read_or_none(CONFIG)
    return {} if data is None else parse_yaml(data, f"{run}/{CONFIG}")


def apply_setting(tree: dict[str, Any], setting: str) -> None:
    """`filter.min_score=0.6`: the value is YAML."""
    name, equals, text = setting.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys):
        raise UserError(f"--set {setting}: expected key=value, for example --set filter.min_score=0.6")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {setting}: the value is not valid YAML") from None
    for depth, key in enumerate(keys[:-1]):
        below = tree.setdefault(key, {})
        if below is None:
            below = tree[key] = {}
        if not isinstance(below, dict):
            raise UserError(f"--set {setting}: {'.'.join(keys[: depth + 1])} is no section")
        tree = below
    tree[keys[-1]] = value


def validated(tree: dict[str, Any], where: str, kind: type[Config] = Config) -> Config:
    """`kind`: the config with the sections that stages have brought."""
    sections = {name for name, field in kind.model_fields.items() if _model_of(field.annotation)}
    plain = {key: {} if key in sections and value is None else value for key, value in tree.items()}
    try:
        return kind.model_validate(plain)
    except ValidationError as error:
        keys = list(_keys_of(kind, ""))
        lines = [_explain(problem, keys) for problem in error.errors()]
        raise UserError("\n".join(f"{where}: {line}" for line in lines)) from None


def _explain(problem: Any, keys: Sequence[str]) -> str:
    place = ".".join(str(step) for step in problem["loc"] if step != "")
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(place, keys, n=1, cutoff=0.6) or _moved_key(place, keys)
        hint = f"did you mean {near[0]}?" if near else "`phrasebox config --help` says where all keys are listed"
        return f"{place}: unknown key; {hint}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    value = repr(problem["input"])
    return f"{place}: {message[:1].lower()}{message[1:]}, not {value if len(value) <= 60 else value[:57] + '...'}"


def _keys_of(model: type[BaseModel], prefix: str) -> Iterable[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        below = _model_of(field.annotation)
        if below is not None:
            yield from _keys_of(below, f"{prefix}{name}.")


def _moved_key(place: str, keys: Sequence[str]) -> list[str]:
    """The same last name in another section."""
    last = place.rpartition(".")[2]
    return [key for key in keys if key.rpartition(".")[2] == last]


def _model_of(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def resolve(config: Config, project: Iterable[type[Stage]], wanted: Iterable[type[Stage]]) -> Config:
    """With "auto" and defaults made explicit. Raises UserError for a mistake in the section of a wanted stage.

    Other sections are resolved where that is possible here, so that the config does not depend on the command.
    """
    chosen = list(wanted)
    for stage in project:
        try:
            found = stage.resolve(config)
        except (UserError, ImportError):
            if stage in chosen:
                raise
            continue
        if found:
            section = getattr(config, stage.name).model_copy(update=found)
            config = config.model_copy(update={stage.name: section})
    return config


def dump(config: Config) -> str:
    text: str = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
    return text


def write_config(storage: Storage, config: Config) -> None:
    data = dump(config).encode()
    if storage.read_or_none(CONFIG) != data:
        storage.write(CONFIG, data)
