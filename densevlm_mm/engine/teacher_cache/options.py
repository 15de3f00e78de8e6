"""What a user says about a teacher cache."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class CacheOptions:
    """Options of a hook's ``cache=dict(...)``.

    Args:
        path: Folder of all teacher caches, local or on a network file system. Caches of other teachers, classes or
            images lie beside each other in it.
        dtype: How targets are kept. ``'float32'`` changes nothing, ``'float16'`` takes half the space.
        min_threshold: Smallest ``threshold`` that a loss may have. Of regions that are not surer than it no loss reads
            more than the confidence, and no more is kept. 0 keeps everything.

    Raises:
        ValueError: If an option has no possible value.
    """

    path: str
    dtype: Literal["float32", "float16"] = "float32"
    min_threshold: float = 0.3

    def __post_init__(self) -> None:
        if not self.path or "://" in str(self.path):
            raise ValueError(f"cache.path={self.path!r} must be a local folder: records are appended to files in it.")
        object.__setattr__(self, "path", os.path.expanduser(self.path))
        if Path(self.path).exists() and not Path(self.path).is_dir():
            raise ValueError(f"cache.path={self.path!r} is a file; give a folder.")
        if self.dtype not in ("float32", "float16"):
            raise ValueError(f"cache.dtype must be 'float32' or 'float16', got {self.dtype!r}.")
        if not 0 <= self.min_threshold < 1:
            raise ValueError(
                f"cache.min_threshold is a probability in [0, 1), got {self.min_threshold}; 0 keeps all regions."
            )

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any], allowed: tuple[str, ...] = ()) -> "CacheOptions":
        """Read ``cache=dict(...)`` of a hook.

        Args:
            cfg: The options.
            allowed: Those that the hook knows; default: all.

        Raises:
            ValueError: If one is unknown, missing or impossible.
        """
        known = allowed or tuple(field.name for field in fields(cls))
        if unknown := sorted(set(cfg) - set(known)):
            raise ValueError(f"unknown cache option {unknown[0]!r}; there are: {', '.join(known)}.")
        if "path" not in cfg:
            raise ValueError("cache needs a path: cache=dict(path='data/teacher_cache').")
        return cls(**cfg)
