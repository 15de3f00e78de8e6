"""Replaces mmengine's package look-ups, which need ``pkg_resources``, by the standard library's.

What breaks: setuptools 82 dropped ``pkg_resources``. mmengine 0.10.7 imports it to find packages, so that
``_base_ = "mmdet::..."`` and ``mmengine.hub`` end in "No module named 'pkg_resources'".
Upstream: https://github.com/open-mmlab/mmengine/pull/1676 (merged, in no release as of 0.10.7).
Needed by: mmengine 0.10.7 with setuptools 82 and newer, or without setuptools.
"""

import importlib.util
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_PATCHED_MODULES = ("mmengine.utils.package_utils", "mmengine.utils", "mmengine.config.config", "mmengine.hub.hub")


def is_installed(package: str) -> bool:
    """Tell whether `package`, a distribution (``mmcv-lite``) or a module (``mmcv``), is installed."""
    try:
        distribution(package)
    except PackageNotFoundError:
        spec = importlib.util.find_spec(package)
        return spec is not None and spec.origin is not None
    return True


def package2module(package: str) -> str:
    """Return the name of the first module that the distribution `package` installs.

    Raises:
        PackageNotFoundError: If there is no such distribution.
        ValueError: If its metadata do not name its modules.
    """
    names = (distribution(package).read_text("top_level.txt") or "").split()
    if not names:
        raise ValueError(
            f"Cannot tell which module {package!r} installs: it has no top_level.txt. Pass the module's name."
        )
    return names[0]


def get_installed_path(package: str) -> str:
    """Return the folder of the module of `package`, a module or a distribution.

    Raises:
        PackageNotFoundError: If nothing of that name is installed.
        RuntimeError: If it is a namespace package, which has no folder of its own.
    """
    spec = importlib.util.find_spec(package)
    if spec is None:
        spec = importlib.util.find_spec(package2module(package))
    if spec is None:
        raise PackageNotFoundError(package)
    if spec.origin is None:
        raise RuntimeError(f"{package!r} is a namespace package: it has no single folder to take configs from.")
    return str(Path(spec.origin).parent)


def patch_package_lookup() -> None:
    """Put the functions of this file in the place of mmengine's, also where they were already imported by name."""
    import mmengine.utils.package_utils  # noqa: F401

    for module_name in _PATCHED_MODULES:
        module = sys.modules.get(module_name)
        for function in (is_installed, get_installed_path, package2module):
            if hasattr(module, function.__name__):
                setattr(module, function.__name__, function)
