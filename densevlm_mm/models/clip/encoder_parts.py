"""What files keep of an encoder beside a CLIP: which dense path it reads, and the parameters that no CLIP has.

Plain open_clip loads an exported file strictly, so such parameters may not stand among its tensors. The gate of the
value path, which is small, stands in the metadata; blocks of an own for the dense path stand in a second file.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from densevlm_mm.checkpoint_files import checkpoint_format, read_checkpoint
from densevlm_mm.checkpoint_files.sealed_safetensors import SEAL

# Names of the parts in an encoder's state dict.
VALUE_GATE = "value_gate."
DENSE_BLOCKS = "dense_blocks."
PARTS = (VALUE_GATE, DENSE_BLOCKS)
# Entries of metadata; the first also of ``checkpoint['encoder']``.
_PATH, _GATE, _BLOCKS = "dense_path", "value_gate", "dense_blocks"


@dataclass(frozen=True)
class EncoderParts:
    """What a file says of an encoder beside its CLIP.

    Attributes:
        dense_path: What :class:`DenseImageEncoder` takes as ``dense_path``; None if the file does not say it.
        parameters: By their names in the encoder's state dict.
    """

    dense_path: Any = None
    parameters: Mapping[str, Tensor] = field(default_factory=dict)

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The parameters under a prefix, without it."""
        return select_part(self.parameters, prefix)

    def check_ordinary(self, checkpoint: str, reader: str) -> None:
        """Refuse weights that something other than :class:`DenseImageEncoder` would read in another way.

        Args:
            checkpoint: Their name, for the message.
            reader: What is to read them, for the message.

        Raises:
            ValueError: If they were trained for the value path, or have blocks of an own for dense features.
        """
        if self.dense_path not in (None, "residual"):
            raise ValueError(
                f"checkpoint {checkpoint!r} was trained with dense_path={self.dense_path}, {reader} runs its blocks in "
                "their ordinary form: take an encoder that was trained with dense_path='residual'"
            )
        if self.part(DENSE_BLOCKS):
            raise ValueError(
                f"checkpoint {checkpoint!r} keeps the initial blocks beside the trained ones, of which {reader} would "
                "read the initial ones alone: export the encoder without --keep-global"
            )


def select_part(state_dict: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries under a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}


def select_parts(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries that no CLIP has."""
    return {key: value for key, value in state_dict.items() if key.startswith(PARTS)}


def without_parts(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries that a CLIP has."""
    return {key: value for key, value in state_dict.items() if not key.startswith(PARTS)}


def describe_path(dense_path: str | Mapping[str, Any]) -> dict[str, str]:
    """The entry that says which dense path weights were trained with."""
    return {_PATH: json.dumps(dense_path)}


def read_path(entries: Mapping[str, Any]) -> Any:
    """What :func:`describe_path` wrote; None if the entries do not say it."""
    return json.loads(entries[_PATH]) if entries.get(_PATH) else None


def encode_gate(state_dict: Mapping[str, Tensor]) -> dict[str, str]:
    """The entry that holds the value gate of an encoder's state dict, in float32; {} if it has none."""
    gate = select_part(state_dict, VALUE_GATE)
    if not gate:
        return {}
    rows = torch.cat([gate["weight"], gate["bias"][:, None]], dim=1).detach().cpu().float().contiguous()
    text = base64.b64encode(rows.numpy().astype("<f4").tobytes()).decode("ascii")
    return {_GATE: json.dumps({"heads": len(rows), "float32": text})}


def companion_file(path: Path) -> Path:
    """The second file of an export, with the blocks of the dense path."""
    return path.with_suffix(f".dense{path.suffix}")


def describe_companion(path: Path, digest: str) -> dict[str, str]:
    """The entry that says which second file belongs to a file."""
    return {_BLOCKS: json.dumps({"file": path.name, SEAL: digest})}


def read_encoder_parts(
    path: Path, *, trust: bool = False, download: Callable[[str], Path] | None = None
) -> EncoderParts:
    """Read what a file says of an encoder beside its weights.

    Of a runner checkpoint this is the path alone: its parameters stand among the others.

    Args:
        path: An exported file, a checkpoint of ``tools/train.py``, or any other, which says nothing.
        trust: Unpickle arbitrary objects too; this can run code from the file.
        download: Gets the second file by its name where it does not lie beside the first.

    Raises:
        FileNotFoundError: If the second file is missing.
        ValueError: If what it says cannot be read, or the second file belongs to another one.
    """
    if checkpoint_format(path) == "torchscript":
        return EncoderParts()
    file = read_checkpoint(path, trust=trust, verify=False)
    stored = file.content.get("encoder") if file.is_runner_checkpoint else file.metadata
    if not isinstance(stored, Mapping):
        return EncoderParts()
    try:
        dense_path = read_path(stored)
        gate = _decode_gate(stored[_GATE]) if stored.get(_GATE) else {}
        companion = json.loads(stored[_BLOCKS]) if stored.get(_BLOCKS) else None
        name, digest = (str(companion["file"]), str(companion[SEAL])) if companion else ("", "")
    except (ValueError, TypeError, KeyError, RuntimeError) as error:  # the last from a gate of another shape
        raise ValueError(f"checkpoint {str(path)!r} does not say legibly how it is read densely ({error})") from error
    return EncoderParts(dense_path, {**gate, **(_read_companion(path, name, digest, download) if name else {})})


def _decode_gate(text: str) -> dict[str, Tensor]:
    stored = json.loads(text)
    values = torch.frombuffer(bytearray(base64.b64decode(stored["float32"], validate=True)), dtype=torch.float32)
    rows = values.reshape(int(stored["heads"]), -1)
    return {f"{VALUE_GATE}weight": rows[:, :-1].clone(), f"{VALUE_GATE}bias": rows[:, -1].clone()}


def _read_companion(path: Path, name: str, digest: str, download: Callable[[str], Path] | None) -> Mapping[str, Tensor]:
    beside = [companion_file(path), path.parent / Path(name).name]
    found = next((file for file in beside if file.is_file()), None)
    if found is None and download is not None:
        found = download(name)
    if found is None:
        raise FileNotFoundError(
            f"checkpoint {str(path)!r} holds the initial blocks; the trained ones, {str(beside[0])!r}, which it was "
            "exported with, are missing: put them there"
        )
    file = read_checkpoint(found)
    if file.metadata.get(SEAL) != digest:
        raise ValueError(
            f"{str(file.path)!r} does not belong to {str(path)!r}: take the two files of one export with --keep-global"
        )
    return file.content
