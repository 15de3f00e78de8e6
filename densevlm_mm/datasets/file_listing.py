"""Looking for many files at once."""

import os
from collections.abc import Sequence


def missing_files(paths: Sequence[str]) -> list[str]:
    """List the paths that do not exist.

    Every folder is listed once, which takes a second for a hundred thousand files; asking for each takes minutes on a
    network's disk. Addresses (``s3://...``) pass for existing.

    Args:
        paths: Paths of files.
    """
    listings: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        folder, name = os.path.split(path)
        if "://" in path:
            continue
        if folder not in listings:
            listings[folder] = set(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else set()
        if name not in listings[folder]:
            missing.append(path)
    return missing


def summarize(paths: Sequence[str], number: int = 3) -> str:
    """Name the first of many paths."""
    more = f" and {len(paths) - number} more" if len(paths) > number else ""
    return ", ".join(paths[:number]) + more
