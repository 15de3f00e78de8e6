"""Changes to modules of other packages that are made when somebody imports them, so that we need not."""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

Patch = Callable[[ModuleType], None]


class _PatchingLoader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, patch: Patch) -> None:
        super().__init__(fullname, path)
        self._patch = patch

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        self._patch(module)


class _PatchingFinder(MetaPathFinder):
    def __init__(self, name: str, patch: Patch) -> None:
        self.name, self.patch = name, patch

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
            return None
        spec.loader = _PatchingLoader(fullname, spec.origin, self.patch)
        return spec


def when_imported(name: str, patch: Patch) -> None:
    """Call ``patch`` with a module as soon as somebody imports it, or now if somebody has.

    Args:
        name: The module's full name; one of Python source files.
        patch: What to do with it; must do no harm when called twice.
    """
    if name in sys.modules:
        patch(sys.modules[name])
    elif not any(isinstance(finder, _PatchingFinder) and finder.name == name for finder in sys.meta_path):
        sys.meta_path.insert(0, _PatchingFinder(name, patch))
