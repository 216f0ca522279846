"""What benchmarks/gpu.sh takes along to a machine that reaches no network: missing packages, recordings, photos.

    python -m benchmarks.gpu_wheels [--folder .gpu] [--python 3.12]

Writes `wheels/`, the packages that a run and a training need beside torch, transformers, numpy, pillow, pyarrow,
pyyaml, typer and rich, at the versions of constraints.txt; and `shared/`, the parity cases and photos of ../shared that
the sections read. Git ignores the folder: name it to what carries the working tree over. Then, there:

    bash benchmarks/gpu.sh
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.record import ROOT

PACKAGES = ("pydantic", "pydantic_core", "annotated-types", "typing-inspection")
SHARED = ("parity", "data/coco-mini")
GLIBC = (28, 27, 17)  # pip matches the platform of a wheel exactly
LIMIT = 64 << 20  # bytes that travel, the working tree included


def pinned(names: tuple[str, ...]) -> list[str]:
    """Requirements with the versions of constraints.txt. Raises ValueError for a package that is not there."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    versions = {line.partition("==")[0].lower().replace("_", "-"): line for line in lines if "==" in line}
    wanted = [name.lower().replace("_", "-") for name in names]
    if missing := [name for name in wanted if name not in versions]:
        raise ValueError(f"constraints.txt does not name {', '.join(missing)}")
    return [versions[name] for name in wanted]


def download(folder: Path, python: str) -> None:
    """The wheels for Linux on x86-64. Raises CalledProcessError where pip cannot get one."""
    shutil.rmtree(folder, ignore_errors=True)
    platforms = [f"--platform=manylinux_2_{version}_x86_64" for version in GLIBC]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *platforms]
    command += ["--platform=manylinux2014_x86_64", f"--python-version={python}", "--implementation=cp"]
    subprocess.run([*command, f"--dest={folder}", *pinned(PACKAGES)], check=True)


def copy_shared(source: Path, folder: Path) -> None:
    """The files of ../shared that the sections read. Raises FileNotFoundError where they are not at hand."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in SHARED:
        shutil.copytree(source / name, folder / name, copy_function=shutil.copyfile)
        for path in (folder / name, *(folder / name).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)  # they may be read-only where they come from


def size_of(paths: list[Path]) -> int:
    """Bytes of files."""
    return sum(path.stat().st_size for path in paths if path.is_file())


def main() -> None:
    """Command line: see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / ".gpu")
    parser.add_argument("--python", default="3.12", help="version of the machine's Python")
    options = parser.parse_args()
    download(options.folder / "wheels", options.python)
    copy_shared(ROOT.parent / "shared", options.folder / "shared")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    along = size_of(list(options.folder.rglob("*")))
    whole = along + size_of([ROOT / name for name in tracked.split("\0") if name])
    sys.stdout.write(f"{options.folder}: {along >> 20} MiB; with the working tree {whole >> 20} of {LIMIT >> 20} MiB\n")
    if whole > LIMIT:
        sys.exit("too much to travel: leave something of the working tree out")


if __name__ == "__main__":
    main()
