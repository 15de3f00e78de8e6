"""Writing encoders in open_clip's layout."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from densevlm_mm.files import atomic_write


def export_open_clip(
    path: str | Path, state_dict: Mapping[str, Tensor], model_name: str, model_cfg: Mapping[str, Any]
) -> None:
    """Write weights as a safetensors file that open_clip and this package read.

    With the text tower (``part`` 'all' in the metadata) plain open_clip takes the file as
    ``create_model(model_name, pretrained=path)``; without it (``part`` 'image') it is read by DenseImageEncoder.

    Args:
        path: file to write, ending in .safetensors; it appears only when complete.
        state_dict: ``visual.*`` keys, and text tower and ``logit_scale`` if the whole model is exported.
        model_name: open_clip name of the architecture.
        model_cfg: its open_clip config.

    Raises:
        ValueError: if the path does not end in .safetensors or the state dict has no image tower.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"an exported encoder is a .safetensors file, got {str(path)!r}")
    if not any(key.startswith("visual.") for key in state_dict):
        raise ValueError(f"no 'visual.*' key to export; found {list(state_dict)[:4]}")
    # In open_clip every model has a logit scale; it alone does not make a text tower.
    has_text = any(not key.startswith(("visual.", "logit_")) for key in state_dict)
    metadata = {
        "format": "open_clip",
        "part": "all" if has_text else "image",
        "model_name": model_name,
        "model_cfg": json.dumps(dict(model_cfg)),
    }
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state_dict.items()}
    with atomic_write(path) as partial:
        save_file(tensors, partial, metadata=metadata)
