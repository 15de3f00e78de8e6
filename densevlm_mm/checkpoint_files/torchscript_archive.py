"""The tensors of a TorchScript archive (OpenAI's CLIP releases), without running the archive.

``torch.jit.load`` compiles the code of an archive and runs the ``__setstate__`` methods in it, which can write files:
it is made for trusted archives only (https://docs.pytorch.org/docs/stable/generated/torch.jit.load.html). Here only
``data.pkl`` is read, by an unpickler that knows nothing but tensors, lists and dicts. Modules become plain containers;
of the code only the lines are looked at that tell parameters and buffers from other attributes.
"""

import math
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_CLASS = re.compile(r"^class (\w+)(?:\((\w*)\))?:\n((?:  .*\n|\n)*)", re.MULTILINE)
_NAMES = re.compile(r"^  __(parameters|buffers)__ = \[(.*)\]$", re.MULTILINE)


class NeedsCodeError(Exception):
    """An archive asks for something that is neither tensor nor plain value."""


class _Storage(NamedTuple):
    key: str
    dtype: torch.dtype
    numel: int


class _View(NamedTuple):
    """A tensor that is yet to be made: no torch object exists while foreign instructions run."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Object:
    """An object of the archive, of whatever class: its name and its state."""

    __slots__ = ("state",)
    type_name = ""
    state: Any

    def __new__(cls, *args: Any) -> "_Object":
        made = super().__new__(cls)
        made.state = None
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state


@dataclass(frozen=True)
class _ScriptClass:
    """What an archive's code says of a class."""

    is_module: bool
    tensors: frozenset[str] | None  # parameters and buffers; None if the code does not say
    runs_code: bool  # to restore its state


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return type(name, (_Object,), {"__slots__": (), "type_name": f"{module}.{name}"})
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Call(lambda storage, offset, size, stride, *unused: _View(storage, offset, size, stride))
        if (module, name) == ("collections", "OrderedDict"):
            return _Call(lambda: {})  # a tensor's hooks, always empty
        if module == "torch.jit._pickle" and name in ("build_intlist", "build_doublelist", "build_boollist"):
            return _Call(list)
        if module == "torch.jit._pickle" and name in ("build_tensorlist", "restore_type_tag"):
            return _Call(lambda value, *unused: value)
        raise NeedsCodeError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, numel = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str):
            raise NeedsCodeError(f"it asks for the object {pid!r}")
        return _Storage(key, dtype, int(numel))


class _Call:
    """A function that instructions of a pickle can call but not change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Read the parameters and buffers of a TorchScript archive: ``torch.jit.load(path).state_dict()``.

    Args:
        path: The archive.

    Returns:
        Names to tensors, on the CPU, in the stored precision.

    Raises:
        NeedsCodeError: If the archive needs code to be run: it asks for other objects, or a class of it
            restores its state by a ``__setstate__`` of its own.
        ValueError: If the archive is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        records = min((name for name in archive.namelist() if name.endswith("/data.pkl")), key=len, default=None)
        if records is None:
            raise ValueError("it has no data.pkl")
        root = records.removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("it was written on a big-endian machine")
        with archive.open(records) as file:
            content = _unpickle(file)
        classes = dict(_read_classes(archive, f"{root}code/"))
        storages: dict[_Storage, Tensor] = {}
        tensors = {}
        for name, view in _named_views(content, classes, "", ()):
            if view.storage not in storages:
                storages[view.storage] = _read_storage(archive, f"{root}data/", view.storage)
            tensors[name] = _make_tensor(name, view, storages[view.storage])
        return tensors


def _unpickle(file: IO[bytes]) -> Any:
    try:
        return _Unpickler(file).load()
    except NeedsCodeError:
        raise
    except Exception as error:  # what wrong instructions end in is open
        raise ValueError(f"its data.pkl cannot be read ({error})") from error


def _read_classes(archive: zipfile.ZipFile, folder: str) -> Iterator[tuple[str, _ScriptClass]]:
    for file in archive.namelist():
        if not file.startswith(folder) or not file.endswith(".py"):
            continue
        module = file.removeprefix(folder).removesuffix(".py").replace("/", ".")
        for name, base, body in _CLASS.findall(archive.read(file).decode("utf-8", "replace")):
            lists = dict(_NAMES.findall(body))
            # Old archives name no buffers, and all their tensors are weights.
            tensors = frozenset(re.findall(r'"(.*?)"', " ".join(lists.values()))) if len(lists) == 2 else None
            runs_code = re.search(r"^  def __setstate__\(", body, re.MULTILINE) is not None
            yield f"{module}.{name}", _ScriptClass(base == "Module", tensors, runs_code)


def _named_views(
    value: Any, classes: dict[str, _ScriptClass], prefix: str, above: tuple[_Object, ...]
) -> Iterator[tuple[str, _View]]:
    """Walk through the modules, as ``state_dict()`` does."""
    if not isinstance(value, _Object) or value.state is None:
        raise ValueError("it holds no module")
    known = classes.get(value.type_name, _ScriptClass(True, None, False))
    if known.runs_code or not isinstance(value.state, dict):
        raise NeedsCodeError(f"its class {value.type_name} restores itself by code of its own")
    if len(above) > 200 or any(value is module for module in above):
        raise ValueError("its modules contain each other")
    if not known.is_module:
        return
    for name, item in value.state.items():
        if isinstance(item, _View) and (known.tensors is None or name in known.tensors):
            yield f"{prefix}{name}", item
    for name, item in value.state.items():
        if isinstance(item, _Object) and item.state is not None:
            yield from _named_views(item, classes, f"{prefix}{name}.", (*above, value))


def _read_storage(archive: zipfile.ZipFile, folder: str, storage: _Storage) -> Tensor:
    expected = storage.numel * storage.dtype.itemsize
    try:
        info = archive.getinfo(folder + storage.key)
    except KeyError:
        raise ValueError(f"it lacks the record data/{storage.key}") from None
    if info.file_size < expected:
        raise ValueError(f"its record data/{storage.key} has {info.file_size} of {expected} bytes")
    if storage.numel == 0:
        return torch.empty(0, dtype=storage.dtype)
    return torch.frombuffer(bytearray(archive.read(info)), dtype=storage.dtype, count=storage.numel)


def _make_tensor(name: str, view: _View, storage: Tensor) -> Tensor:
    numbers = (view.offset, *view.size, *view.stride)
    is_valid = all(type(number) is int and number >= 0 for number in numbers) and len(view.size) == len(view.stride)
    last = view.offset + sum((n - 1) * step for n, step in zip(view.size, view.stride, strict=False))
    # A view that repeats its storage could be of any size: none of these releases has one.
    if not is_valid or math.prod(view.size) > len(storage) or (0 not in view.size and last >= len(storage)):
        raise ValueError(f"its tensor {name} does not lie within its storage")
    return torch.as_strided(storage, view.size, view.stride, view.offset)
