"""safetensors files with a seal: a SHA-256 of everything in them.

The format has no checksum of its own, so that a hole of zeros, as broken copies and downloads leave them, loads as
weights. Files that this package writes carry the digest in their metadata; reading compares it.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from densevlm_mm.files import atomic_write

SEAL = "sha256"


def save_sealed(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Write a safetensors file, whole or not at all, with the digest of its content in the metadata.

    Args:
        path: The file.
        tensors: Names to tensors, on any device; may share memory.
        metadata: Further entries.

    Returns:
        The digest.

    Raises:
        ValueError: If ``metadata`` has an entry 'sha256'.
    """
    if SEAL in metadata:
        raise ValueError(f"metadata may have no entry {SEAL!r}: it is computed")
    stored = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    digest = content_digest(stored, metadata)
    with atomic_write(path) as partial:
        save_file(stored, partial, metadata={**metadata, SEAL: digest})
    return digest


def check_seal(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Compare a file's content with its seal; files without one pass.

    Raises:
        ValueError: If they differ.
    """
    if SEAL in metadata and content_digest(tensors, metadata) != metadata[SEAL]:
        raise ValueError("its content is not what was written (SHA-256)")


def content_digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 of names, types, shapes and bytes of all tensors, and of all metadata but the digest itself."""
    digest = hashlib.sha256()
    for key, text in sorted(metadata.items()):
        if key != SEAL:
            digest.update(f"{key}={text}\n".encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
