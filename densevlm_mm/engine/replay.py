"""A training batch as a file of tensors and plain values, to look at or to run again what made a loss not finite."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from densevlm_mm.files import atomic_write


def save_batch(path: Path, batch: Any, facts: dict[str, Any]) -> Path:
    """Write a batch whole or not at all; ``torch.load(path, weights_only=True)`` reads it without running code.

    Args:
        path: The file.
        batch: What the data loader and the hooks gave to ``model.train_step``: for our models a dict of ``inputs``
            (images) and ``data_samples``. Data elements become dicts of their fields and of their metainfo.
        facts: What else to keep, e.g. the iteration and the losses, beside ``batch``.

    Returns:
        The file.
    """
    content = {**_plain(facts), "batch": _plain(batch)}
    with atomic_write(path) as partial:
        torch.save(content, partial)
    return path


def image_paths(batch: Any) -> list[str]:
    """Paths of the images of a batch, as far as its data samples name them."""
    samples = batch.get("data_samples") if isinstance(batch, Mapping) else None
    if not isinstance(samples, list | tuple):
        return []
    paths = (sample.metainfo.get("img_path") for sample in samples if isinstance(sample, BaseDataElement))
    return [str(path) for path in paths if path]


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, BaseDataElement):
        return {name: _plain(item) for name, item in value.all_items()}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    for tensors in ("tensor", "masks"):  # mmdet's boxes and masks, which are classes of their own
        if isinstance(getattr(value, tensors, None), Tensor | np.ndarray | list):
            return _plain(getattr(value, tensors))
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)
