"""Lets mmdet's and mmseg's inferencers work with a config whose images are read by another loader.

What breaks: ``DetInferencer`` and ``MMSegInferencer`` look for the step of the test pipeline that reads the image by
the name ``LoadImageFromFile`` alone, and stop with "LoadImageFromFile is not found in the test pipeline" for a loader
that is derived from it, such as ``densevlm_mm.LoadImage``; likewise they leave out ``LoadAnnotations`` alone.
Upstream: no issue was found that reports it.
Needed by: mmdet 3.3.0 and mmseg 1.2.2.
"""

from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Any

from densevlm_mm.compat.import_hooks import when_imported

_INFERENCERS = (("mmdet.apis.det_inferencer", "DetInferencer"), ("mmseg.apis.mmseg_inferencer", "MMSegInferencer"))


def find_loaders_of_inferencers() -> None:
    """Let the inferencers find transforms derived from those that they look for, as soon as they are imported."""
    for module, name in _INFERENCERS:
        when_imported(module, partial(_patch, name))


def _patch(name: str, module: ModuleType) -> None:
    from mmcv.transforms import LoadAnnotations, LoadImageFromFile

    bases = (LoadImageFromFile, LoadAnnotations)
    inferencer = getattr(module, name)
    original = inferencer._get_transform_idx
    if getattr(original, "finds_derived", False):
        return

    def find(self: Any, pipeline_cfg: Sequence[dict], wanted: Any) -> int:
        index = original(self, pipeline_cfg, wanted)
        base = next((cls for cls in bases if cls.__name__ in wanted), None)
        if index == -1 and base is not None:
            return next((i for i, step in enumerate(pipeline_cfg) if _is_derived(step["type"], base)), -1)
        return index

    find.finds_derived = True  # type: ignore[attr-defined]
    inferencer._get_transform_idx = find


def _is_derived(kind: Any, base: type) -> bool:
    from mmengine.registry import TRANSFORMS

    with TRANSFORMS.switch_scope_and_registry(None) as registry:
        kind = registry.get(kind) if isinstance(kind, str) else kind
    return isinstance(kind, type) and issubclass(kind, base)
