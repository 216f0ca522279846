"""The import names of the four layers: `stages.phrases` and `phrasebox.stages.phrases`, wherever phrasebox lies.

In a checkout the layers are packages beside this one, and import each other by their short names. In a wheel they lie
below this package and import each other by their full names (see setup.py), so that nothing that a project calls
`model` or `stages` can get between them. Each way, the other name is a second name of the same module.
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
    """Makes both names importable. Raises ImportError in a checkout one of whose short names is taken."""
    here = Path(__file__).resolve().parent
    if (here / LAYERS[0]).is_dir():
        sys.meta_path.insert(0, ShortNames())
    else:
        use_checkout(here.parent)
        sys.meta_path.insert(0, FullNames())


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


class SecondNames(MetaPathFinder, Loader):
    """Finds a module by its second name: the same object, executed once."""

    def first_name(self, name: str) -> str | None:
        """None for what has no second name."""
        raise NotImplementedError

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        first = self.first_name(name)
        known = None if first is None else find_spec(first)
        return None if known is None else ModuleSpec(name, self, origin=known.origin, loader_state=first)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(spec.loader_state)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Gives a module back its own spec, which the import system has just overwritten."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


class FullNames(SecondNames):
    """Of a checkout: `phrasebox.stages` for `stages`."""

    def first_name(self, name: str) -> str | None:
        package, _, rest = name.partition(".")
        return rest if package == PACKAGE and rest.partition(".")[0] in LAYERS else None


class ShortNames(SecondNames):
    """Of a wheel: `stages` for `phrasebox.stages`.

    A package that was imported before under such a name stays what it is. Of two that might be meant, an import in a
    notebook, in `python -c` or in a session gets phrasebox's, whatever the working directory holds; one in a file gets
    the other: a project's own modules find its own `model` and `stages` as if phrasebox were not there.
    """

    def first_name(self, name: str) -> str | None:
        top, dot, _ = name.partition(".")
        if top not in LAYERS:
            return None
        if dot:
            return f"{PACKAGE}.{name}" if sys.modules[top].__name__ == f"{PACKAGE}.{top}" else None
        return None if stands_in_a_file() and self._is_found_elsewhere(name) else f"{PACKAGE}.{name}"

    def _is_found_elsewhere(self, name: str) -> bool:
        return any(finder.find_spec(name, None) for finder in sys.meta_path if finder is not self)


def stands_in_a_file() -> bool:
    """Whether the import statement under way does."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith((__name__, "importlib")):
        frame = frame.f_back
    return "__file__" in frame.f_globals
