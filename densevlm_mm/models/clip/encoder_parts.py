"""What files keep of an encoder beside a CLIP: which dense path it reads, and the parameters that no CLIP has.

Plain open_clip loads an exported file strictly, so such parameters may not stand among its tensors: the gate of the
value path, which is small, stands in the metadata.
"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from densevlm_mm.checkpoint_files import checkpoint_format, read_checkpoint

# Names of the parts in an encoder's state dict.
VALUE_GATE = "value_gate."
PARTS = (VALUE_GATE,)
# Entries of metadata, and of ``checkpoint['encoder']``.
_PATH, _GATE = "dense_path", "value_gate"


def select_part(state_dict: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries under a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}


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


def read_encoder_parts(path: Path, *, trust: bool = False) -> tuple[Any, dict[str, Tensor]]:
    """Read what a file says of an encoder beside its weights.

    Args:
        path: An exported file, a checkpoint of ``tools/train.py``, or any other, which says nothing.
        trust: Unpickle arbitrary objects too; this can run code from the file.

    Returns:
        The dense path that the weights were trained with, None if it is not said; parameters that stand in metadata,
        by their names in the encoder's state dict.

    Raises:
        ValueError: If what it says cannot be read.
    """
    if checkpoint_format(path) == "torchscript":
        return None, {}
    file = read_checkpoint(path, trust=trust, verify=False)
    stored = file.content.get("encoder") if file.is_runner_checkpoint else file.metadata
    if not isinstance(stored, Mapping):
        return None, {}
    try:
        return read_path(stored), _decode_gate(stored[_GATE]) if stored.get(_GATE) else {}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"checkpoint {str(path)!r} does not say legibly how it is read densely ({error})") from error


def _decode_gate(text: str) -> dict[str, Tensor]:
    stored = json.loads(text)
    values = torch.frombuffer(bytearray(base64.b64decode(stored["float32"], validate=True)), dtype=torch.float32)
    rows = values.reshape(int(stored["heads"]), -1)
    return {f"{VALUE_GATE}weight": rows[:, :-1].clone(), f"{VALUE_GATE}bias": rows[:, -1].clone()}
