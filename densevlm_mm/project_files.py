"""Where this project's configs, tools and weights lie: in a checkout, or inside the installed package."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def project_root() -> Path:
    """The folder with ``configs/`` and ``tools/``: the repository, or ``.mim`` of a package installed from a wheel."""
    installed = _PACKAGE / ".mim"
    return installed if installed.is_dir() else _PACKAGE.parent


def project_file(path: str | Path) -> Path:
    """Find a file of this project by the path that it has in a checkout, from any folder.

    Args:
        path: A path; looked for are relative ones that begin with ``configs/``, ``tools/`` or ``densevlm_mm/``.

    Returns:
        The file of this project; ``path`` as it is if it exists from the current folder, or if the project has no such
        file.

    Example:
        >>> project_file("configs/tiny/densevlm.py").is_file()
        True
    """
    path = Path(path)
    roots = {"configs": project_root(), "tools": project_root(), _PACKAGE.name: _PACKAGE.parent}
    if path.is_absolute() or not path.parts or path.parts[0] not in roots or path.exists():
        return path
    ours = roots[path.parts[0]] / path
    return ours if ours.exists() else path
