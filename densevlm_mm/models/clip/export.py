"""Writing encoders so that plain open_clip and this package read them, with all that belongs to the weights."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from torch import Tensor

from densevlm_mm.checkpoint_files import check_finite, save_sealed
from densevlm_mm.files import write_text
from densevlm_mm.models.clip.architecture import HUB_CONFIG, ClipArchitecture
from densevlm_mm.models.clip.encoder_parts import (
    DENSE_BLOCKS,
    PARTS,
    companion_file,
    describe_companion,
    encode_gate,
    without_parts,
)
from densevlm_mm.models.clip.model_source import HUB_WEIGHTS

_LOCAL_PATH = re.compile(r"(local-dir:)?([/~\\]|[A-Za-z]:[/\\]).*")


def export_open_clip(
    path: str | Path, state_dict: Mapping[str, Tensor], architecture: ClipArchitecture, **facts: str
) -> Path:
    """Write weights as a safetensors file, or as a folder in the layout of hub repositories.

    The metadata hold name, config and ``preprocess_cfg`` of the model, and a SHA-256 that reading compares. They hold
    no path of this machine. With the text tower (``part`` 'all') plain open_clip reads both forms; only the folder
    tells it the preprocessing:

        >>> open_clip.create_model_and_transforms("EVA02-B-16", pretrained="weights/encoder.safetensors")
        >>> open_clip.create_model_and_transforms("local-dir:weights/encoder")

    Without the text tower (``part`` 'image') they are read by :class:`DenseImageEncoder`.

    Args:
        path: File to write, ending in .safetensors, or folder, without an ending.
        state_dict: ``visual.*`` keys, text tower and ``logit_scale`` if the whole model is exported, and what the
            encoder has beside its tower: ``value_gate.*`` goes into the metadata, in float32, and ``dense_blocks.*``
            into a second file beside the first, whose name ends in ``.dense.safetensors``.
        architecture: What the weights belong to.
        facts: Further entries of the metadata.

    Returns:
        The file of weights.

    Raises:
        ValueError: If the path has another ending, the state dict has no image tower, or a value is not finite.
    """
    path = Path(path)
    if path.suffix not in ("", ".safetensors"):
        raise ValueError(
            f"an exported encoder is a .safetensors file, or a folder (a path without an ending), got {str(path)!r}"
        )
    if not any(key.startswith("visual.") for key in state_dict):
        raise ValueError(f"no 'visual.*' key to export; found {list(state_dict)[:4]}")
    check_finite(state_dict, f"export {str(path)!r}")
    architecture = replace(architecture, cfg=_without_local_paths(architecture.cfg))
    # In open_clip every model has a logit scale; it alone does not make a text tower.
    has_text = any(not key.startswith(("visual.", "logit_", *PARTS)) for key in state_dict)
    metadata = {"format": "open_clip", "part": "all" if has_text else "image", **describe(architecture), **facts}
    metadata |= encode_gate(state_dict)
    is_folder = not path.suffix
    file = path / HUB_WEIGHTS[0] if is_folder else path
    blocks = {key: value for key, value in state_dict.items() if key.startswith(DENSE_BLOCKS)}
    companion = companion_file(file)
    if blocks:
        digest = save_sealed(companion, blocks, {"part": "dense_blocks", **describe(architecture)})
        metadata |= describe_companion(companion, digest)
    save_sealed(file, without_parts(state_dict), metadata)
    if not blocks:
        companion.unlink(missing_ok=True)  # of the file that was replaced
    if is_folder:
        description = {"model_cfg": architecture.cfg, "preprocess_cfg": architecture.preprocess_cfg}
        write_text(path / HUB_CONFIG, json.dumps(description, indent=2))
    return file


def describe(architecture: ClipArchitecture) -> dict[str, str]:
    """What files keep of a model, as plain strings: ``model_name``, ``model_cfg`` and ``preprocess_cfg`` (JSON)."""
    return {
        "model_name": architecture.name,
        "model_cfg": json.dumps(_without_local_paths(architecture.cfg)),
        "preprocess_cfg": json.dumps(architecture.preprocess_cfg),
    }


def _without_local_paths(cfg: Any) -> Any:
    """A config whose absolute paths (of a tokenizer's file, say) are file names: files are for other machines."""
    if isinstance(cfg, Mapping):
        return {key: _without_local_paths(value) for key, value in cfg.items()}
    if isinstance(cfg, list | tuple):
        return [_without_local_paths(value) for value in cfg]
    if isinstance(cfg, str) and _LOCAL_PATH.fullmatch(cfg):
        name = re.split(r"[/\\]", cfg.rstrip("/\\"))[-1]
        print_log(f"the model's config is stored with {name!r} instead of a path of this machine", "current")
        return name
    return cfg
