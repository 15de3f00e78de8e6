"""Hands a file that was checked before anything was built to the data set, which need not read it again."""

import os
from typing import Any

from densevlm_mm.datasets.annotations.instances import InstanceFile, read_instances

_KEPT: dict[tuple, InstanceFile] = {}


def keep_instances(path: str, **options: Any) -> InstanceFile:
    """Read and check a file, and keep it for the next :func:`take_instances` with the same arguments.

    Args:
        path: Path or URI.
        **options: As in :func:`read_instances`.
    """
    file = read_instances(path, **options)
    _KEPT[_key(path, options)] = file
    return file


def take_instances(path: str, **options: Any) -> InstanceFile:
    """Get a file that was kept, once, or read it.

    Args:
        path: Path or URI.
        **options: As in :func:`read_instances`.
    """
    kept = _KEPT.pop(_key(path, options), None)
    return read_instances(path, **options) if kept is None else kept


def _key(path: str, options: dict[str, Any]) -> tuple:
    """What the content depends on: a file that was written again is another one."""
    try:
        stat = os.stat(path)
    except OSError:  # an address
        return (path, repr(sorted(options.items())))
    return (os.path.abspath(path), stat.st_mtime_ns, stat.st_size, repr(sorted(options.items())))
