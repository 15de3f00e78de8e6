"""What a file is, told by its bytes and not by its name."""

import difflib
import struct
import zipfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Literal

Format = Literal["safetensors", "torchscript", "torch"]

_PACKAGE = Path(__file__).resolve().parents[1]
_DOWNLOAD_FILE = "download the file itself, e.g. with the 'raw' or 'resolve' link"
_UNPACK = "unpack it and give the weights inside"
# What files that are taken for checkpoints begin with, in lower case.
_FOREIGN = (
    (b"version https://git-lfs", "a git-LFS pointer: run `git lfs pull` in the repository that it came from"),
    (b"<!doctype", f"an HTML page: {_DOWNLOAD_FILE}"),
    (b"<html", f"an HTML page: {_DOWNLOAD_FILE}"),
    (b"<?xml", f"an XML page, perhaps a server's error message: {_DOWNLOAD_FILE}"),
    (b"{", "a JSON text: give the weights file that belongs to it"),
    (b"[", "a JSON text: give the weights file that belongs to it"),
    (b"\x1f\x8b", f"a gzip archive: {_UNPACK}"),
    (b"bzh", f"a bzip2 archive: {_UNPACK}"),
    (b"\xfd7zxz", f"an xz archive: {_UNPACK}"),
    (b"7z\xbc\xaf", f"a 7z archive: {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"a zstd archive: {_UNPACK}"),
    (b"\x89hdf", "an HDF5 file (Keras): give the PyTorch or safetensors weights of the model"),
    (b"gguf", "a GGUF file: give the PyTorch or safetensors weights of the model"),
    (b"\x93numpy", "a NumPy array: give the PyTorch or safetensors weights of the model"),
)


def checkpoint_format(path: str | Path) -> Format:
    """Tell a checkpoint's format.

    Args:
        path: The file.

    Returns:
        'safetensors', 'torchscript' (OpenAI's archives) or 'torch'.

    Raises:
        FileNotFoundError: If there is no such file; names files that may be meant.
        PermissionError: If it may not be read.
        ValueError: If it is no checkpoint (empty, git-LFS pointer, HTML page, ...) or is cut short.
    """
    path = Path(path)
    head = _head(path)
    if not head:
        raise ValueError(f"checkpoint {str(path)!r} is empty: download it again")
    for mark, meaning in _FOREIGN:
        if head.lstrip().lower().startswith(mark):
            raise ValueError(f"checkpoint {str(path)!r} is {meaning}")
    if head[8:9] == b"{":  # eight bytes of header length, then the header, a JSON object
        return "safetensors"
    if head[:2] == b"PK":
        return _zip_format(path)
    if head[257:262] == b"ustar":
        raise ValueError(f"checkpoint {str(path)!r} is a tar archive: {_UNPACK}")
    if head[:1] == b"\x08" and head[2:3] == b"\x12":
        raise ValueError(f"checkpoint {str(path)!r} is an ONNX graph: give the weights that it was exported from")
    if head[:1] != b"\x80":  # what every pickle since protocol 2 begins with, and so torch's oldest format
        kind = "a text file" if head.isascii() and head.decode("ascii").isprintable() else "of no known format"
        raise ValueError(f"checkpoint {str(path)!r} is no checkpoint: it is {kind}, beginning with {head[:8]!r}")
    return "torch"


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise ValueError(
            f"checkpoint {str(path)!r} is a folder: give the file in it, or a folder in hub layout (weights beside an "
            "open_clip_config.json)"
        )
    try:
        with path.open("rb") as file:
            return file.read(512)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"checkpoint {str(path)!r} does not exist{similar_files(path)}: give the path of a downloaded file, "
            "'open_clip:<tag>', 'hf-hub:<org>/<repository>' or 'random'"
        ) from None
    except PermissionError:
        raise PermissionError(f"checkpoint {str(path)!r} may not be read by this user: see its permissions") from None
    except OSError as error:
        raise ValueError(f"checkpoint {str(path)!r} cannot be read: {error.strerror or error}") from error


def _zip_format(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error) as error:
        raise ValueError(f"checkpoint {str(path)!r} is cut short ({error}): download it again") from error
    if any(name.endswith("/constants.pkl") for name in names):
        return "torchscript"
    if any(name.endswith("/data.pkl") for name in names):
        return "torch"
    if names and all(name.endswith(".npy") for name in names):
        raise ValueError(
            f"checkpoint {str(path)!r} is a NumPy archive (big_vision's format): load it with open_clip and save its "
            "state dict"
        )
    inside = ", ".join(names[:3])
    raise ValueError(f"checkpoint {str(path)!r} is a zip archive without weights of PyTorch ({inside}): {_UNPACK}")


def similar_files(path: Path) -> str:
    """Name files that may be meant instead of one that does not exist, as the end of a sentence; '' if there are none.

    Looked at are files of the same name in this package and in the folders around (a file that moved), and files of
    the same folder with nearly the same name.
    """
    here = path.parent
    moved = [*sorted(_PACKAGE.rglob(path.name)), *_around(here, path.name)] if path.name else []
    siblings = [file.name for file in islice(here.iterdir(), 2000)] if here.is_dir() else []
    close = [here / name for name in difflib.get_close_matches(path.name, siblings, n=2, cutoff=0.75)]
    found = dict.fromkeys(_shown(file) for file in (*moved, *close) if file.is_file())
    return f" (did you mean {' or '.join(list(found)[:3])}?)" if found else ""


def _around(folder: Path, name: str) -> Iterable[Path]:
    existing = next((parent for parent in (folder, *folder.parents) if parent.is_dir()), Path())
    roots = dict.fromkeys((existing, existing.parent, Path("weights")))
    return [file for root in roots for pattern in (name, f"*/{name}") for file in sorted(root.glob(pattern))]


def _shown(file: Path) -> str:
    """A path below the working directory, relative to it."""
    try:
        return str(file.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(file)
