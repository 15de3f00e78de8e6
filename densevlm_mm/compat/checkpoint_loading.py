"""Loads checkpoints of mmengine's Runner, of mmdet and of mmseg: nothing in them runs, nothing damaged comes through.

What breaks:

* Since torch 2.6 ``torch.load`` allows only tensors and plain containers unless told otherwise. A checkpoint of
  mmengine's Runner also holds `HistoryBuffer` objects (numpy arrays, and methods that pickle as calls of ``getattr``),
  so that resuming, ``load_from`` and ``tools/test.py`` end in an `UnpicklingError`.
  Upstream: https://github.com/open-mmlab/mmengine/issues/1655; https://github.com/open-mmlab/mmengine/pull/1650 (open)
  would turn the protection off. We keep it on: a checkpoint from a stranger must not run code.
* URLs (``http``, ``open-mmlab``, ``torchvision``, ``mmcls``) go through ``torch.hub``, whose default is to unpickle
  anything (https://docs.pytorch.org/docs/stable/hub.html#torch.hub.load_state_dict_from_url).
* ``Runner.resume`` and the inferencers parse the config text in a checkpoint as Python, which runs it
  (https://github.com/open-mmlab/mmengine/blob/v0.10.7/mmengine/runner/runner.py#L2027).
* torch ignores the checksums that it writes (https://github.com/pytorch/pytorch/pull/28858).

Needed by: mmengine 0.10.7 (newest release) with torch 2.6 and newer.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, MutableMapping
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from densevlm_mm.compat.import_hooks import when_imported

# What HistoryBuffer registers by itself; other methods of it are not needed to load a checkpoint.
_STATISTICS = frozenset({"min", "max", "mean", "current"})

# Kinds of numbers and text that the arrays of a checkpoint hold, as numpy's one-letter codes.
_DTYPE_CODES = "?bhilqBHILQefdSU"

# The end of a file name that is the beginning of its SHA-256, as OpenMMLab and torchvision name their releases.
# Without a letter it is a date.
_NAMED_DIGEST = re.compile(r"-(?=[0-9]*[a-f])([0-9a-f]{8,64})$")


def restricted_getattr(owner: Any, name: str) -> Callable[..., Any]:
    """Stand in for ``getattr`` while a checkpoint is read: the statistics methods of `HistoryBuffer` and no others.

    Allowing the real ``getattr`` would give a crafted file a way to every function of the interpreter.

    Raises:
        ValueError: For any other pair of arguments.
    """
    if owner is HistoryBuffer and name in _STATISTICS:
        return getattr(HistoryBuffer, name)
    raise ValueError(
        f"The checkpoint asks for getattr({owner!r}, {name!r}). Only the statistics of mmengine's HistoryBuffer "
        f"({', '.join(sorted(_STATISTICS))}) are allowed: the file is no plain checkpoint, do not trust it."
    )


def allow_runner_checkpoints() -> None:
    """Register what a Runner checkpoint holds beyond tensors as safe to load."""
    # Taken from an array's own pickle form, because numpy 2 moved them: numpy.core became numpy._core.
    reconstruct: Any = np.zeros(0).__reduce__()[0]
    scalar: Any = np.float64(0).__reduce__()[0]
    torch.serialization.add_safe_globals(
        [
            (restricted_getattr, "builtins.getattr"),
            HistoryBuffer,
            np.ndarray,
            np.dtype,
            *((reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
            *((scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
            *{type(np.dtype(code)) for code in _DTYPE_CODES},
        ]
    )


def install_checkpoint_reader() -> None:
    """Give mmengine's checkpoint loaders, of all schemes, the reader of this package as soon as they are imported."""
    when_imported("mmengine.runner.checkpoint", _patch)


def load(file: str | os.PathLike | Any, map_location: Any = None, **unused: Any) -> Any:
    """Read a checkpoint in place of ``torch.load``: any format, no code, checksums compared, finite.

    Args:
        file: Path, or a file object (object stores).
        map_location: As of ``torch.load``.
        unused: Further arguments of ``torch.load``, which could only weaken this.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, is damaged, would run code, or holds values that are not finite.
    """
    # This module is imported with torch, whose first import may be that of checkpoint_files.
    from densevlm_mm.checkpoint_files import check_finite, read_checkpoint

    if not isinstance(file, str | os.PathLike):
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "checkpoint"
            with local.open("wb") as copy:
                shutil.copyfileobj(file, copy)
            return load(local, map_location)
    source = f"checkpoint {str(file)!r}"
    content = read_checkpoint(Path(file), map_location=map_location or "cpu").content
    if not isinstance(content, MutableMapping):
        raise ValueError(f"{source}: holds a {type(content).__name__} instead of a dict of tensors")
    check_finite(content, source)
    return content


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """:func:`load` a file; mmengine's own says only that one that does not exist cannot be found."""
    return load(Path(filename).expanduser(), map_location)


def load_url(url: str, model_dir: str | None = None, map_location: Any = None, **unused: Any) -> Any:
    """Download a checkpoint, unless it is there, and :func:`load` it."""
    return load(download(url, model_dir), map_location)


def download(url: str, folder: str | os.PathLike | None = None) -> Path:
    """Return the local file of a URL, downloaded unless it is there.

    Args:
        url: ``http(s)://...``.
        folder: Where downloads lie; default: torch's, so that files which others have loaded or put there are found.

    Raises:
        ValueError: If the name ends in digits of a SHA-256, as those of OpenMMLab and torchvision do, and the content
            is another.
    """
    target = Path(folder or Path(torch.hub.get_dir()) / "checkpoints") / Path(urlparse(url).path).name
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(target), progress=os.isatty(0))
    named = _NAMED_DIGEST.search(target.name.split(".")[0])
    if named is not None:
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if not digest.startswith(named[1]):
            raise ValueError(
                f"{str(target)!r} is not what its name says: its SHA-256 begins with {digest[: len(named[1])]}. Delete "
                "it to load it again"
            )
    return target


def drop_config_text(checkpoint: Any) -> None:
    """Remove the config texts from a checkpoint that was read: mmengine runs them as Python.

    A resumed run compares nothing but a long-gone option with them; inferencers need to be given the config.
    """
    places = [("meta",), ("message_hub", "runtime_info")]
    for place in places:
        node = checkpoint
        for step in place:
            node = node.get(step) if isinstance(node, MutableMapping) else None
        for key in ("config", "cfg"):
            if isinstance(node, MutableMapping):
                node.pop(key, None)


class _SafeTorch(ModuleType):
    """torch, with the ``load`` of this module."""

    load = staticmethod(load)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def _patch(module: ModuleType) -> None:
    names = vars(module)
    if isinstance(names["torch"], _SafeTorch):
        return
    names["torch"] = _SafeTorch("torch")
    names["load_url"] = load_url
    loader = names["CheckpointLoader"]
    loader.register_scheme("", load_from_local, force=True)
    original = loader.load_checkpoint.__func__

    def load_checkpoint(cls: type, filename: str, map_location: Any = None, logger: Any = "current") -> Any:
        checkpoint = original(cls, filename, map_location, logger)
        drop_config_text(checkpoint)
        return checkpoint

    loader.load_checkpoint = classmethod(load_checkpoint)
