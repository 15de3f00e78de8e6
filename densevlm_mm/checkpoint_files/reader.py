"""Reading a checkpoint file of any format: safely, checked, with errors that say what the file really is."""

import pickle
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from densevlm_mm.checkpoint_files.contents import is_runner_checkpoint
from densevlm_mm.checkpoint_files.formats import Format, checkpoint_format
from densevlm_mm.checkpoint_files.sealed_safetensors import check_seal
from densevlm_mm.checkpoint_files.torchscript_archive import NeedsCodeError, read_torchscript

# How torch's safe unpickler words that it met an object that is neither tensor nor plain value.
_REFUSED_OBJECT = re.compile(r"(unsupported global|can only (create|build|reduce))[^\n]{0,100}", re.IGNORECASE)


@dataclass(frozen=True)
class CheckpointFile:
    """A file that was read.

    Attributes:
        path: The file.
        format: Its format.
        content: What was stored; for safetensors and TorchScript a dict of tensors.
        metadata: Text entries of a safetensors file.
    """

    path: Path
    format: Format
    content: Any
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def is_runner_checkpoint(self) -> bool:
        """Whether mmengine's Runner has written it."""
        return is_runner_checkpoint(self.content)


def read_checkpoint(
    path: str | Path, *, trust: bool = False, verify: bool = True, map_location: Any = "cpu"
) -> CheckpointFile:
    """Read a checkpoint file; only tensors and plain values are unpickled unless told otherwise.

    Args:
        path: The file.
        trust: Allow arbitrary pickled objects. This runs code from the file: only for files of known origin.
        verify: Compare the content with the checksums in the file, where there are any: those of a zip archive
            (which torch writes but never reads) and the seal of safetensors files that this package wrote. Without,
            the tensors are mapped and not read, which is for looking at what a file is.
        map_location: As of ``torch.load``; for its format only.

    Raises:
        FileNotFoundError: If there is no such file.
        PermissionError: If it may not be read.
        ValueError: If the file is no checkpoint, is damaged, or holds pickled objects and ``trust`` is False.
    """
    path = Path(path)
    kind = checkpoint_format(path)
    try:
        if kind == "safetensors":
            return _read_safetensors(path, verify)
        if kind == "torchscript":  # every record that is read is compared with its checksum
            return CheckpointFile(path, kind, read_torchscript(path))
        is_zip = zipfile.is_zipfile(path)
        if verify and is_zip:
            verify_zip(path)
        if is_zip and not verify and path.suffix != ".safetensors":
            return CheckpointFile(path, kind, torch.load(path, map_location, weights_only=not trust, mmap=True))
        with path.open("rb") as file:  # a name that ends in .safetensors would be taken at its word
            return CheckpointFile(path, kind, torch.load(file, map_location, weights_only=not trust))
    except NeedsCodeError as error:
        raise ValueError(
            f"checkpoint {str(path)!r} is refused, reading it whole could run any code: {error}. Give its state dict"
        ) from error
    except pickle.UnpicklingError as error:
        refused = _REFUSED_OBJECT.search(str(error))
        if refused is None:
            raise ValueError(f"checkpoint {str(path)!r} is damaged: get it again") from error
        raise ValueError(
            f"checkpoint {str(path)!r} is refused, it holds objects beside tensors, which could run any code "
            f"({refused[0]}). If you know where it comes from, load it with trust=True"
        ) from error
    except Exception as error:  # what a damaged file makes torch, zipfile and safetensors raise is open
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ValueError(f"checkpoint {str(path)!r} is damaged or cut short ({reason}): get it again") from error


def verify_zip(path: Path) -> None:
    """Compare every record of a zip archive with its checksum.

    torch writes the checksums but its reader ignores them (https://github.com/pytorch/pytorch/pull/28858), so that a
    hole of zeros loads as weights. Takes 0.3 s for 350 MB.

    Raises:
        zipfile.BadZipFile: If a record is not what was written.
    """
    with zipfile.ZipFile(path) as archive:
        for record in archive.infolist():
            if record.CRC == 0:  # empty, or written under torch.serialization.set_crc32_options(False)
                continue
            with archive.open(record) as file:
                while file.read(1 << 20):  # raises at the record's end if it differs
                    pass


def _read_safetensors(path: Path, verify: bool) -> CheckpointFile:
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if verify:
        check_seal(tensors, metadata)
    return CheckpointFile(path, "safetensors", tensors, metadata)
