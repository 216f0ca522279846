"""Over all stages: what enters their fingerprints follows from the marks of the config's fields, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.cli.commands import project
from schemas.config import Config, Section
from schemas.marks import Only
from schemas.settings import marks_of
from stages import load_stage
from stages.stage import Input, ReduceStage, Stage, UserError

RESOLVED = {
    ("curate", "against"),
    ("curate", "embedder"),
    ("curate", "near"),
    ("label", "variant"),
    ("label", "revision"),
    ("phrases", "backend_version"),
}  # tests of their own
CHECKPOINTS = {
    (section, name) for section in ("mask", "rescore") for name in ("model", "revision", "model_sha256")
}  # their stages have tests of their own
FILES = [
    ("label", "weights"),
    ("label", "weights_sha256"),
    ("label", "tuned"),
    ("label", "tuned_sha256"),
    ("audit", "categories"),
    ("train", "init"),
]
RULES = ("min_side", "max_aspect", "min_sharpness", "min_entropy", "max_text", "drop_file_names", "drop_boilerplate")
OF_PARTS = {("curate", name): {"curate"} for name in ("duplicates", "max_caption_repeats", *RULES)}
BY_DIGEST = {  # that a stage adds in another form: of further teachers, the terms that their weights bring
    ("label", "teacher"): {"shard", "evaluate"},
    ("label", "teachers"): {"shard", "audit/result"},
    **OF_PARTS,
}
CANDIDATES: list[Any] = [
    *(1, 2, 5, 64, 0.25, 0.75, True, False, "another", "constant", "bf16", "gold", "coco", "unknown", "lvis", "spacy"),
    *(("medium",), ("time",), ("teacher",), (64,), [{"source": "scenes", "count": 2, "weight": 2.0}], "glip-t", "cuda"),
    *("tab", "csv", {"web": "folder"}, "plain", "triton", "square", "geometric", "exact", "perceptual"),
    *("step", "linear", [{"name": "hen", "suffix": " in grass"}], ("glip-nano", "glip-photos")),
]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A config whose files are there, so that each of its fields can be another."""
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"weights")
    (tmp_path / "categories.json").write_text("{}")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    return Config.model_validate(
        {
            "phrases": {"backend": "distilled"},
            "label": {
                **{"teacher": "glip-nano", "weights": str(file), "weights_sha256": sha256},
                **{"device": "cpu", "short": 32, "long": 128},
            },
            "audit": {"categories": str(tmp_path / "categories.json")},
            "train": {"init": str(file), "device": "cpu"},
        }
    )


def fields() -> Iterator[tuple[str, str]]:
    """Section ("": the top) and name of every field."""
    for name, field in Config.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from ((name, below) for below in kind.model_fields)
        else:
            yield "", name


def marks(section: str, name: str) -> list[Any]:
    return marks_of(type(getattr(Config(), section)) if section else Config)[name]


def another(config: Config, section: str, name: str) -> Iterator[Config]:
    """The config with other values of one field, as many as are valid."""
    tree = config.model_dump()
    holder = tree[section] if section else tree
    for value in CANDIDATES:
        changes = {**holder, name: value}
        with suppress(ValidationError, UserError):  # of another kind, or not to be had here
            other = Config.model_validate({**tree, section: changes} if section else changes)
            if other != config and settings(other):
                yield other


def settings(config: Config) -> dict[str, dict[str, Any]]:
    """By stage, and by what a stage merges."""
    found: dict[str, dict[str, Any]] = {}
    for stage in project():
        found[stage.name] = stage.settings(config)
        if issubclass(stage, ReduceStage) and stage.merge_depends_on is not None:
            found[f"{stage.name}/result"] = stage.merge_settings(config)
    return found


def changed(before: Config, after: Config) -> set[str]:
    old, new = settings(before), settings(after)
    return {name for name in old if old[name] != new[name]}


def dependent(section: str, name: str) -> set[str]:
    """Those that declare that they depend on a field."""
    wanted = {section, f"{section}.{name}"} if section else {name}

    def declares(stage: type[Stage], names: tuple[str, ...] | None) -> bool:
        return bool(wanted & set((stage.name,) if names is None else names))

    found = {stage.name for stage in project() if declares(stage, stage.depends_on)}
    for stage in project():
        if issubclass(stage, ReduceStage) and stage.merge_depends_on is not None:
            found |= {f"{stage.name}/result"} if declares(stage, stage.merge_depends_on) else set()
    return found | BY_DIGEST.get((section, name), set())


@pytest.mark.parametrize(
    ("section", "name"), [entry for entry in fields() if Only.DIGEST not in marks(*entry)], ids=str
)
def test_every_field_changes_the_stages_that_depend_on_it_or_none(config: Config, section: str, name: str) -> None:
    kinds = {mark for mark in marks(section, name) if isinstance(mark, Only)}
    others = list(another(config, section, name))
    assert others, f"no other value of {section}.{name} is known; add one to CANDIDATES"
    expected = BY_DIGEST.get((section, name), set()) if kinds else dependent(section, name)
    if not kinds:
        assert expected, f"{section}.{name} changes no stage: mark it in schemas/config.py, or let a stage depend on it"
    assert [changed(config, other) for other in others] == [expected] * len(others)


@pytest.mark.parametrize(
    ("section", "name", "readers"),
    [
        ("label", "weights", set()),
        ("label", "weights_sha256", set()),
        ("audit", "categories", {"audit/result"}),
        ("train", "init", {"train"}),
    ],
)
def test_a_file_enters_by_what_it_holds_and_not_by_its_name(
    config: Config, tmp_path: Path, section: str, name: str, readers: set[str]
) -> None:
    digests = {(part, field) for part, field in fields() if Only.DIGEST in marks(part, field)}
    assert (section, name) in digests and digests == {*FILES, *RESOLVED, *CHECKPOINTS}
    tree = config.model_dump()
    if name != "weights_sha256":
        copy = tmp_path / "copy"
        copy.write_bytes(Path(tree[section][name]).read_bytes())
        assert changed(config, Config.model_validate({**tree, section: {**tree[section], name: str(copy)}})) == set()
    (tmp_path / "other").write_bytes(b"[]")
    value = "0" * 64 if name == "weights_sha256" else str(tmp_path / "other")
    other = Config.model_validate({**tree, section: {**tree[section], name: value}})
    if section == "label":  # a file and a digest that do not fit are refused before anything is recomputed
        with pytest.raises(UserError, match="weights_sha256 asks for"):
            changed(config, other)
    else:
        assert changed(config, other) == readers


def test_a_checkpoint_enters_by_its_digest_alone(config: Config) -> None:
    def with_model(**values: str) -> Config:
        return config.model_copy(update={"rescore": config.rescore.model_copy(update=values)})

    before = with_model(model="a/folder", model_sha256="1" * 64)
    assert changed(before, with_model(model="owner/name", revision="c0ffee", model_sha256="1" * 64)) == set()
    assert changed(before, with_model(model="a/folder", model_sha256="2" * 64)) == {"rescore"}


@pytest.mark.parametrize(
    ("section", "values", "same"),
    [
        ("label", {"device": "cuda:0"}, {"device": "cuda:1"}),
        ("train", {"device": "cuda"}, {"device": "cuda:3"}),
        ("phrases", {"stop_phrases": ("photo", "medium")}, {"stop_phrases": ("medium", "photo")}),
        ("phrases", {"drop_heads": ("time", "quantity")}, {"drop_heads": ("quantity", "time")}),
    ],
)
def test_what_means_the_same_is_the_same(
    config: Config, section: str, values: dict[str, Any], same: dict[str, Any]
) -> None:
    def with_values(given: dict[str, Any]) -> Config:
        tree = config.model_dump()
        return Config.model_validate({**tree, section: {**tree[section], **given}})

    assert changed(with_values(values), with_values(same)) == set()
    assert changed(config, with_values(values)) != set()


def test_every_stage_says_what_it_is() -> None:
    """Kinds are explicit, names are those of the commands, and inputs are made by stages before."""
    stages = project()
    assert len(stages) >= 8
    for number, stage in enumerate(stages):
        assert stage.outputs and stage.version >= 1
        made = {output.folder for earlier in stages[:number] for output in earlier.all_outputs()}
        needed = [item.dataset for item in stage.inputs if not item.optional]
        assert set(needed) <= made, stage.name


@pytest.mark.parametrize(
    ("stage", "devices", "wanted"),
    [
        ("phrases", {"label": "cuda", "train": "cuda"}, False),
        ("label", {"label": "cuda:0"}, True),
        ("label", {"label": "cpu", "train": "cuda"}, False),
        ("train", {"train": "cuda"}, True),
        ("train", {"label": "cuda", "train": "cpu"}, False),
        ("evaluate", {"label": "cuda", "train": "cpu"}, True),
        ("evaluate", {"label": "cpu", "train": "cuda"}, False),
    ],
)
def test_who_gets_a_gpu(stage: str, devices: dict[str, str], wanted: bool) -> None:
    config = Config.model_validate({section: {"device": device} for section, device in devices.items()})
    assert load_stage(stage).needs(config).gpu is wanted


def test_only_side_tables_wait() -> None:
    assert Input("gold", need="if_present").optional and Input("curation", need="if_enabled").optional
    assert not Input("pairs").optional
