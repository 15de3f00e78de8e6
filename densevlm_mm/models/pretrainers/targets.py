"""Targets: what hooks write into a batch, and losses ask for."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from densevlm_mm.registry import HOOKS
from densevlm_mm.structures import RegionDataSample


def collect_target(name: str, data_samples: Sequence[RegionDataSample]) -> Any:
    """Collect a target of all images of a batch.

    Args:
        name: Of a field of the samples' ``regions``, or of the samples.
        data_samples: One per image.

    Returns:
        Per region: (sum R_i, ...), in the order of the images. Per image: (B, ...), or a list of B values where they
        are no tensors.

    Raises:
        KeyError: If the samples have no such field; names the hooks that write it.
    """
    first = data_samples[0]
    if name in getattr(first, "regions", ()):
        return torch.cat([sample.regions[name] for sample in data_samples])
    if name not in first:
        raise KeyError(f"no data sample has {name!r}, neither itself nor in its regions: {writing_hooks(name)}.")
    values = [sample.get(name) for sample in data_samples]
    return torch.stack(values) if isinstance(values[0], Tensor) else values


def declared_targets(hook: Any) -> tuple[str, ...]:
    """Targets that a hook (or a class of hooks) says that it writes; none for a hook of another kind."""
    return (*getattr(hook, "region_targets", ()), *getattr(hook, "image_targets", ()))


def writing_hooks(name: str) -> str:
    """What to do about a target that nothing has written: the registered hooks that can write it."""
    HOOKS.import_from_location()
    known: Iterable[tuple[str, type]] = (
        item for registry in (HOOKS, HOOKS.parent) if registry is not None for item in registry.module_dict.items()
    )
    classes = sorted({class_name for class_name, hook in known if name in declared_targets(hook)})
    if not classes:
        return "no registered hook says that it writes it, see docs/extending.md"
    return f"add a hook that writes it to default_hooks: {' or '.join(classes)}"
