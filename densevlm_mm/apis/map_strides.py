"""Whether a detector places its anchors and boxes where the maps of its backbone are."""

from collections.abc import Iterator
from math import log

from torch import nn

from densevlm_mm.models.backbones import DenseVLMBackbone


def check_map_strides(model: nn.Module) -> None:
    """Check the strides of a detector's anchors, points and RoI extractors against those of its backbone's maps.

    mmdetection takes them on trust: with a patch of 14 pixels and strides of 8, 16 and so on, every box would be off by
    an eighth of its position.

    Args:
        model: Any model; only a :class:`DenseVLMBackbone` with adaptors, right below it, is looked at.

    Raises:
        ValueError: If one of them is not where the maps are; says the lines that put it right.
    """
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, DenseVLMBackbone) or backbone.adaptors is None:
        return
    lines = []
    for key, given, is_dense in _stated_strides(model):
        right = _right_strides(given, is_dense, backbone.strides, getattr(model, "neck", None))
        if right != given:
            lines.append(f"model.{key}={_listed(right)} (now {_listed(given)})")
    if lines:
        maps = f"the maps of model.backbone are {_listed(backbone.strides)} pixels apart, which the heads do not know"
        raise ValueError("\n  ".join([f"{maps}; set", *lines]))


def _stated_strides(model: nn.Module) -> Iterator[tuple[str, list[float], bool]]:
    """Key in the config, strides, and whether they are of a dense head, which has one level for each map it gets."""
    for name, module in model.named_modules():
        if (generator := getattr(module, "prior_generator", None)) is not None and hasattr(generator, "strides"):
            # Only mmdet's anchors have base sizes; points are made from the head's own strides.
            key = f"{name}.anchor_generator.strides" if hasattr(generator, "base_sizes") else f"{name}.strides"
            yield key, [float(stride[0]) for stride in generator.strides], True
        elif hasattr(module, "featmap_strides"):
            yield f"{name}.featmap_strides", [float(stride) for stride in module.featmap_strides], False


def _right_strides(given: list[float], is_dense: bool, maps: list[float], neck: nn.Module | None) -> list[float]:
    """The strides of an FPN's levels; without one, for each of ``given`` the nearest of a level or of one beyond."""
    levels = [maps[0] * 2**level for level in range(10)]
    if is_dense and len(given) == getattr(neck, "num_outs", None):
        start = getattr(neck, "start_level", 0)
        return levels[start : start + len(given)]
    return [min(levels, key=lambda level: abs(log(level / stride))) for stride in given]


def _listed(strides: list[float]) -> str:
    return f"[{','.join(f'{stride:g}' for stride in strides)}]"
