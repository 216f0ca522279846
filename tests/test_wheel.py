"""The wheel, built and installed beside a project that has packages named like ours: what it holds, and that it works.

It is installed into an environment of its own, which finds the dependencies where this one has them, but nothing of the
checkout: an editable install works through a .pth file, and those are read in an environment's own folder only.
"""

from __future__ import annotations

import ast
import email
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipeline import __version__
from tests.docker.test_compose_runs import end_all, free_ports
from tests.test_layers import imports
from tests.waiting import LIMIT, wait_for

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("schemas", "model", "stages", "pipeline")
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE", "phrasebox", *LAYERS)
FILES = ("model.safetensors", "model.safetensors.index.json")  # of checkpoints of transformers, and no modules
NAMES = re.compile(rf"(?:{'|'.join(LAYERS)})(?:\.\w+)+(?::\w+)?")
JOB = {
    "part_size": 2,
    "ingest": {"source": "scenes", "count": 4},
    "label": {"short": 64, "long": 96, "device": "cpu"},
    "filter": {"min_score": 0.2},
    "train": {"steps": 1, "batch_size": 2, "workers": 2, "device": "cpu", "gold": [{"source": "run"}]},
}
WITNESS = """

def _versions() -> dict[str, str]:
    import sys

    return {name: str(sys.modules[name].__file__) for name in ("phrasebox", "phrasebox.stages")}
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built offline from a copy, with the setuptools of this environment."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    done = subprocess.run([*command, "--wheel-dir", out, source], capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that holds the wheel and finds its dependencies in this one's."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=LIMIT)
    paths = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (site_packages(folder) / "dependencies.pth").write_text("\n".join(paths) + "\n")
    command = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "--no-deps", "--no-index"]
    subprocess.run([*command, "--ignore-installed", "--quiet", wheel], check=True, timeout=LIMIT)
    return folder


def site_packages(environment: Path) -> Path:
    (found,) = (environment / "lib").glob("python*/site-packages")
    return found


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's project: a `model` that works, a `stages` and a `pipeline` that nobody may import."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in {
        "model": "WHOSE = 'theirs'\n",
        "stages": "raise ImportError('this is not phrasebox')\n",
        "pipeline": "raise ImportError('this is not phrasebox')\n",
    }.items():
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(text)
    (folder / "job.yaml").write_text(yaml.safe_dump(JOB))
    return folder


def start(command: list[str | Path], folder: Path, **variables: str) -> str:
    """What it prints; without a trace of this environment in its own."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHON"))}
    everything = {**mine, "OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run(command, cwd=folder, env=everything, capture_output=True, text=True, timeout=2 * LIMIT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def data_files(run: Path) -> dict[str, str]:
    """sha256 of every file that is equal wherever a run is made."""
    paths = sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    timed = ("commits/", "state/", "config.yaml", "student/", "tensorboard/")
    data = [path for path in paths if not path.startswith(timed)]
    return {path: hashlib.sha256((run / path).read_bytes()).hexdigest() for path in data}


def test_nothing_but_phrasebox_is_installed(environment: Path) -> None:
    installed = {path.name for path in site_packages(environment).iterdir()}
    assert installed == {"dependencies.pth", "phrasebox", f"phrasebox-{__version__}.dist-info"}
    said = start([environment / "bin/phrasebox", "--version"], environment)
    assert said == f"phrasebox {__version__}\n"


def test_the_wheel_holds_all_data_with_their_licences(wheel: Path) -> None:
    expected = {"phrasebox/py.typed": ROOT / "phrasebox/py.typed"}
    for layer in LAYERS:
        files = (file for file in (ROOT / layer).rglob("*") if file.is_file() and "__pycache__" not in file.parts)
        expected |= {f"phrasebox/{file.relative_to(ROOT).as_posix()}": file for file in files if file.suffix != ".py"}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.endswith(".py") and ".dist-info/" not in name}
        assert held == set(expected)
        assert all(archive.read(name) == file.read_bytes() for name, file in expected.items())
        licences = {name.rpartition("/")[2] for name in archive.namelist() if ".dist-info/licenses/" in name}
    assert licences == {"LICENSE", "NOTICE"}
    assert {"phrasebox/model/vocab/LICENSE.txt", "phrasebox/stages/synthetic/LICENSE-OFL.txt"} <= held


def test_the_wheels_metadata_names_the_terms_of_its_weights(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    assert metadata["License-Expression"].split(" AND ")[0] == "Apache-2.0"
    assert "LicenseRef-glip-photos-research-only" in metadata["License-Expression"]
    assert "LicenseRef-glip-photos-research-only" in (ROOT / "NOTICE").read_text()


def test_the_wheels_own_code_uses_no_short_name(wheel: Path) -> None:
    """Neither in an import nor in a string that names a module."""
    with zipfile.ZipFile(wheel) as archive:
        modules = {name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")}
    assert len(modules) > 150
    for name, source in modules.items():
        package = name.rpartition("/")[0].replace("/", ".")
        found = [module for _, module in imports(source, package) if module.partition(".")[0] in LAYERS]
        texts = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
        found += [text for text in texts if isinstance(text, str) and NAMES.fullmatch(text) and text not in FILES]
        assert found == [], name


def test_a_job_runs_inline_and_on_ray(environment: Path, project: Path) -> None:
    """In the project's folder, down to a training in two ranks; the bytes are those of the checkout."""
    job = ["run", "job.yaml", "--until", "train"]
    start([environment / "bin/phrasebox", *job, "--run", "inline", "--inline"], project)
    start([environment / "bin/python", "-m", "phrasebox", *job, "--run", "ray", "--workers", "2"], project)
    until_audit = ["run", project / "job.yaml", "--until", "audit", "--run", project / "checkout", "--inline"]
    start([sys.executable, "-m", "phrasebox", *until_audit], ROOT)
    made = data_files(project / "inline")
    assert {path.partition("/")[0] for path in made} >= {"pairs", "phrases", "labels", "pseudo", "shards", "report"}
    assert made == data_files(project / "ray") == data_files(project / "checkout")
    for run in ("inline", "ray"):
        assert (project / run / "student/weights.safetensors").exists()


def test_a_cluster_runs_the_drivers_wheel(environment: Path, project: Path, tmp_path: Path) -> None:
    """Its machines may have another one installed: here the driver's is a copy that says where a worker has it from."""
    shutil.copytree(site_packages(environment) / "phrasebox", tmp_path / "phrasebox")
    with open(tmp_path / "phrasebox/pipeline/execution/worker.py", "a", encoding="utf-8") as file:
        file.write(WITNESS)
    with ray_head(environment) as (address, folder):
        job = ["run", "job.yaml", "--run", str(tmp_path / "run"), "--until", "phrases", "--address", address]
        start([environment / "bin/phrasebox", *job], project, PYTHONPATH=str(tmp_path))
        records = [json.loads(path.read_text()) for path in sorted((tmp_path / "run/commits").glob("*/*.json"))]
        assert len(records) == 4
        unpacked = rf"{re.escape(str(folder))}/.*/py_modules_files/_ray_pkg_\w+/phrasebox"
        for record in records:
            assert re.fullmatch(rf"{unpacked}/__init__.py", record["versions"]["phrasebox"])
            assert re.fullmatch(rf"{unpacked}/stages/__init__.py", record["versions"]["phrasebox.stages"])


class ray_head:
    """A Ray of one machine, started by the environment's Python as `ray start` does it; its address and its folder."""

    def __init__(self, environment: Path) -> None:
        self.environment = environment
        self.folder = Path(tempfile.mkdtemp(prefix="phrasebox-", dir="/tmp"))  # names of sockets may not be long

    def __enter__(self) -> tuple[str, Path]:
        ports = free_ports(2)
        options = [f"--port={ports[0]}", f"--ray-client-server-port={ports[1]}", f"--temp-dir={self.folder}"]
        options += ["--num-cpus=1", "--include-dashboard=false", "--object-store-memory=100000000", "--block"]
        options += ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
        ray = "from ray.scripts.scripts import main; main()"
        self.log = self.folder / "head.log"
        mine = {"PYTHONPATH": "", "PYTHONUNBUFFERED": "1", "RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": str(self.folder)}
        with open(self.log, "wb") as out:
            head = subprocess.Popen(
                [self.environment / "bin/python", "-c", ray, "start", "--head", *options],
                cwd=self.folder,
                env={**os.environ, **mine},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(lambda: "Ray runtime started" in self.log.read_text(), head)
        return f"127.0.0.1:{ports[0]}", self.folder

    def __exit__(self, *exc_info: object) -> None:
        end_all(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def run(environment: Path, project: Path) -> Iterator[Path]:
    job = ["run", "job.yaml", "--until", "shard", "--run", "seen", "--inline"]
    start([environment / "bin/phrasebox", *job], project)
    yield project / "seen"


def test_a_notebook_has_both_names(environment: Path, project: Path, run: Path) -> None:
    """Typed in the project's folder: phrasebox's by the short names, but for a package that is there already."""
    code = """
import phrasebox
from stages.phrases import NounPhraseExtractor
import stages.stage, phrasebox.stages.phrases
assert NounPhraseExtractor is phrasebox.stages.phrases.NounPhraseExtractor
assert stages.stage.UserError is phrasebox.UserError and stages.stage.__spec__.name == "phrasebox.stages.stage"
assert NounPhraseExtractor().extract(["a red dog"])[0][0].norm == "red dog"
import model.glip
assert model.glip.Glip.__module__ == "phrasebox.model.glip"
try:
    import stages.nothing
except ModuleNotFoundError as error:
    print(error)
"""
    assert start([environment / "bin/python", "-c", code], project) == "No module named 'stages.nothing'\n"


def test_a_package_that_was_there_before_stays_and_phrasebox_works(environment: Path, project: Path, run: Path) -> None:
    code = """
import sys
import model
import phrasebox
from torch.utils.data import DataLoader
run = phrasebox.open("seen")
assert len(run.pairs()) == 4 and len(run.boxes()) and run.show("000000000001").size
samples = list(DataLoader(run.webdataset(), batch_size=None, num_workers=2, multiprocessing_context="spawn"))
assert samples and "phrasebox.stages.images" in sys.modules
from phrasebox.model.glip import Glip
assert Glip.pretrained("glip-nano").detect([__import__("numpy").zeros((64, 64, 3), "uint8")], ["dog"])
import model
print(model.WHOSE)
try:
    import model.glip
except ModuleNotFoundError as error:
    print(error)
"""
    said = start([environment / "bin/python", "-c", code], project)
    assert said == "theirs\nNo module named 'model.glip'\n"


def test_a_projects_own_modules_find_its_own_packages(environment: Path, project: Path, run: Path) -> None:
    """Also where they come after phrasebox, as sorted imports have it; names that it does not have are ours."""
    code = ["import phrasebox", "from model import WHOSE", "from schemas.records import make_key"]
    (project / "train.py").write_text("\n".join([*code, "print(WHOSE, make_key(1, 2))", ""]))
    assert start([environment / "bin/python", "train.py"], project) == "theirs 000000100002\n"
