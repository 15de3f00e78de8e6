"""Packages that only some features need."""

from collections.abc import Sequence
from importlib.util import find_spec


def require_packages(feature: str, packages: Sequence[str], extra: str) -> None:
    """Stop with one line if packages of an optional feature are not installed.

    Args:
        feature: What needs them, as the message begins.
        packages: Names of modules.
        extra: The extra of this package that installs them.

    Raises:
        ValueError: If one cannot be imported.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ValueError(f"{feature} needs {', '.join(missing)}: pip install 'densevlm_mm[{extra}]'")
