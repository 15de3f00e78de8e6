"""Opening checkpoint files of any published kind safely, with errors that say what the file really is."""

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

_NOT_A_CHECKPOINT = (
    (b"version https://git-lfs", "a git-LFS pointer: run `git lfs pull` in the repository that it came from"),
    (b"<!doctype", "an HTML page: download the file itself, e.g. with the 'raw' or 'resolve' link"),
    (b"<html", "an HTML page: download the file itself, e.g. with the 'raw' or 'resolve' link"),
    (b"{", "a JSON text: give the weights file that belongs to it"),
)
# How torch's safe unpickler words that it met an object that is neither tensor nor plain value.
_REFUSED_OBJECT = re.compile(r"(unsupported global|can only (create|build|reduce))[^\n]{0,100}", re.IGNORECASE)
# What OpenAI's archives keep next to the weights.
_OPENAI_EXTRAS = ("input_resolution", "context_length", "vocab_size")


def checkpoint_format(path: Path) -> str:
    """Tell a checkpoint's format from its bytes, not from its name.

    Args:
        path: the file.

    Returns:
        'safetensors', 'torchscript' (OpenAI's archives) or 'torch'.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not a checkpoint (empty, git-LFS pointer, HTML page, ...) or is cut short.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"checkpoint {str(path)!r} does not exist: give the path of a downloaded file, 'open_clip:<tag>', "
            "'hf-hub:<org>/<repository>' or 'random'"
        )
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise ValueError(f"checkpoint {str(path)!r} is empty: download it again")
    for mark, meaning in _NOT_A_CHECKPOINT:
        if head.lstrip().lower().startswith(mark):
            raise ValueError(f"checkpoint {str(path)!r} is {meaning}")
    if head[8:9] == b"{":  # eight bytes of header length, then the header, a JSON object
        return "safetensors"
    if head[:4] == b"PK\x03\x04":
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except zipfile.BadZipFile as error:
            raise ValueError(f"checkpoint {str(path)!r} is cut short ({error}): download it again") from error
        return "torchscript" if any(name.endswith("/constants.pkl") for name in names) else "torch"
    if head[:1] != b"\x80":  # what every pickle since protocol 2 begins with, and so torch's oldest format
        raise ValueError(f"checkpoint {str(path)!r} is no checkpoint: it begins with {head[:8]!r}")
    return "torch"


def read_metadata(path: Path) -> dict[str, str]:
    """Return the text metadata of a safetensors file, empty for other formats and where there is none."""
    if checkpoint_format(path) != "safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"checkpoint {str(path)!r} is damaged or cut short ({error}): download it again") from error


def read_content(path: Path, trust: bool = False) -> Any:
    """Read a checkpoint file to CPU; only tensors and plain values are unpickled unless told otherwise.

    Args:
        path: the file.
        trust: allow arbitrary pickled objects. This runs code from the file: only for files of known origin.

    Returns:
        Whatever was stored; for safetensors and TorchScript files a dict of tensors.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no checkpoint, is damaged, or holds pickled objects and ``trust`` is False.
    """
    kind = checkpoint_format(path)
    try:
        if kind == "safetensors":
            return load_file(path)
        if kind == "torchscript":
            return _read_torchscript(path)
        return torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        refused = _REFUSED_OBJECT.search(str(error))
        if refused is None:
            raise ValueError(f"checkpoint {str(path)!r} is damaged: download it again") from error
        raise ValueError(
            f"checkpoint {str(path)!r} holds pickled objects beside tensors, which could run any code "
            f"({refused[0]}). If you know where it comes from, load it with trust=True"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, LookupError) as error:
        raise ValueError(
            f"checkpoint {str(path)!r} is damaged or cut short ({_first_line(error)}): download it again"
        ) from error


def _read_torchscript(path: Path) -> dict[str, torch.Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, but it is the format of OpenAI's releases
        state_dict = torch.jit.load(path, map_location="cpu").state_dict()
    return {key: value for key, value in state_dict.items() if key not in _OPENAI_EXTRAS}


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
