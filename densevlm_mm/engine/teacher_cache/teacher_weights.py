"""What a teacher's outputs depend on, if possible without building it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.text.checkpoint_digest import checkpoint_digest
from densevlm_mm.registry import MODELS

# Arguments of an encoder that change nothing in what it computes.
_IRRELEVANT = ("checkpoint", "trainable", "image_size", "unlocked_groups", "grad_checkpointing", "trust")


def facts_of_config(teacher: Mapping[str, Any], memo_dir: str | Path) -> dict[str, Any] | None:
    """Describe an encoder whose weights are in a file.

    Args:
        teacher: The teacher's config.
        memo_dir: Folder that remembers digests of checkpoints.

    Returns:
        Digest of the file and the arguments that matter; None if only the built teacher tells its weights.
    """
    kind, checkpoint = teacher.get("type"), teacher.get("checkpoint")
    is_encoder = (MODELS.get(kind) if isinstance(kind, str) else kind) is DenseImageEncoder
    if not is_encoder or checkpoint is None or "clip_model" in teacher or not Path(checkpoint).is_file():
        return None
    arguments = {key: value for key, value in teacher.items() if key not in (*_IRRELEVANT, "type")}
    return dict(type="DenseImageEncoder", weights=checkpoint_digest(checkpoint, memo_dir), **arguments)


def facts_of_module(teacher: nn.Module, cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a built teacher by all its tensors, and by the arguments that it was built with."""
    digest = hashlib.sha256()
    for name, tensor in sorted(teacher.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(memoryview(flat.view(torch.uint8).numpy()))
    arguments = {key: value for key, value in cfg.items() if key not in (*_IRRELEVANT, "type")}
    if isinstance(teacher, DenseImageEncoder) and teacher.dense_path != "residual":  # its checkpoint may have said so
        arguments["dense_path"] = teacher.dense_path
    return dict(type=type(teacher).__name__, weights=digest.hexdigest(), **arguments)
