"""What the wheel holds: everything below one package, `phrasebox`. All else stands in pyproject.toml.

In the repository the four layers are packages of their own (`model`, `stages`, ...); in site-packages they would
collide with everybody's. The wheel has them as `phrasebox.model`, `phrasebox.stages`, ..., and on the way there their
names are qualified wherever one layer speaks of another: `from stages.stage import UserError` becomes `from
phrasebox.stages.stage import UserError`, "stages.shard.stage:ShardStage" in a registry
"phrasebox.stages.shard.stage:ShardStage". An editable install finds the folders where they are, by their own names.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

LAYERS = ("schemas", "model", "stages", "pipeline")
BELOW = "" if "editable_wheel" in sys.argv else "phrasebox."  # setuptools' command behind `pip install --editable`

NAME = rf"(?:{'|'.join(LAYERS)})\b"
IMPORT = re.compile(rf"^(\s*from )(?={NAME}[\w.]* import )", re.MULTILINE)
REFERENCE = re.compile(rf'(?<=")(?={NAME}[\w.]*:\w+")')


def qualified(source: str) -> str:
    """The source of a module with the layers' names as the wheel has them."""
    return REFERENCE.sub("phrasebox.", IMPORT.sub(r"\1phrasebox.", source))


class QualifyingBuild(build_py):
    """Copies the modules of a wheel."""

    def build_module(self, module: str, module_file: str, package: str) -> tuple[str, bool]:
        target, copied = super().build_module(module, module_file, package)
        file = Path(target)
        file.write_text(qualified(file.read_text(encoding="utf-8")), encoding="utf-8")
        return target, copied


setup(
    packages=["phrasebox", *(BELOW + name for name in find_packages(include=[f"{name}*" for name in LAYERS]))],
    package_dir={BELOW + name: name for name in LAYERS},
    cmdclass={"build_py": QualifyingBuild},
)
