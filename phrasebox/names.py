"""The import names of the four layers: `from stages.phrases import NounPhraseExtractor`, wherever phrasebox lies.

In a checkout the layers are packages beside this one, and their names are theirs. A wheel has them below this package
(see setup.py): `phrasebox.stages`, `phrasebox.model`, ... are what its own code imports, so that nothing that a project
calls `model` or `stages` can get between. There the short names are second names of the same modules.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

LAYERS = ("schemas", "model", "stages", "pipeline")
PACKAGE = __name__.partition(".")[0]


def install() -> None:
    """Makes the short names importable. Raises ImportError in a checkout one of whose names is taken."""
    here = Path(__file__).resolve().parent
    if (here / LAYERS[0]).is_dir():
        sys.meta_path.insert(0, ShortNames())
    else:
        use_checkout(here.parent)


def use_checkout(folder: Path) -> None:
    """Puts a checkout before the working directory, which may hold packages of the same names."""
    for name in LAYERS:
        taken = getattr(sys.modules.get(name), "__file__", None)
        if taken is not None and Path(taken).resolve().parent.parent != folder:
            raise ImportError(
                f"phrasebox runs from a checkout, whose package {name!r} has the name of {taken}, which is imported "
                "already: import phrasebox in another process, or install its wheel, which keeps the two apart"
            )
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))


class ShortNames(MetaPathFinder, Loader):
    """Finds `stages.shard` as `phrasebox.stages.shard`: one module under two names.

    A package that was imported before under such a name stays what it is. Of two that might be meant, an import in a
    notebook, in `python -c` or in a session gets phrasebox's, whatever the working directory holds; one in a file gets
    the other: a project's own modules find its own `model` and `stages` as if phrasebox were not there.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top, dot, _ = name.partition(".")
        if top not in LAYERS:
            return None
        if dot and sys.modules[top].__name__ != f"{PACKAGE}.{top}":
            return None
        if not dot and stands_in_a_file() and self._find_elsewhere(name):
            return None
        real = find_spec(f"{PACKAGE}.{name}")
        return None if real is None else ModuleSpec(name, self, origin=real.origin)

    def _find_elsewhere(self, name: str) -> bool:
        return any(finder.find_spec(name, None) for finder in sys.meta_path if finder is not self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(f"{PACKAGE}.{spec.name}")
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has been executed under its own name; here it gets back what the import system has just overwritten."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def stands_in_a_file() -> bool:
    """Whether the import statement under way does."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith((__name__, "importlib")):
        frame = frame.f_back
    return "__file__" in frame.f_globals
