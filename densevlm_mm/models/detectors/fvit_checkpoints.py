"""Published F-ViT detectors (mmdet 2.x, towers in EVA-CLIP's naming) as checkpoints of our :class:`FViT`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from densevlm_mm.models.clip.checkpoint_layouts import to_open_clip_layout
from densevlm_mm.models.clip.state_dict_mismatch import StateDictMismatch

_PARTS = ("backbone.", "neck.", "rpn_head.", "roi_head.")
# What an EVA-CLIP image tower consists of, below the name of its module.
_TOWER_PARTS = ("cls_token", "pos_embed", "patch_embed.", "blocks.", "norm.", "fc_norm.", "head.", "rope.")
_ADAPTORS = ("adaptors.0.0", "adaptors.0.1", "adaptors.0.3", "adaptors.1")
_BOX_HEAD = "roi_head.bbox_head."


@dataclass
class Conversion:
    """A converted checkpoint.

    Attributes:
        state_dict: For :class:`FViT`, complete.
        dropped: Names in the published file that have no place, with the reason.
    """

    state_dict: dict[str, Tensor]
    dropped: dict[str, str] = field(default_factory=dict)


def convert_fvit(published: Mapping[str, Tensor], detector: nn.Module, source: str) -> Conversion:
    """Bring a published detector's tensors to the names of a detector built from the matching config.

    The tower is found by its position embedding and renamed as every original EVA-CLIP checkpoint is. The pyramid's
    adaptors are matched by their order. Neck, RPN and RoI heads have mmdet's names in both; the unused linear
    classifier and buffers of class embeddings are dropped.

    Args:
        published: State dict of the published file.
        detector: The detector, its weights may be on the meta device.
        source: The file, for error messages.

    Raises:
        ValueError: If no EVA tower is found, or anything that the detector needs is missing or has another shape.
    """
    expected = detector.state_dict()
    published = {name.removeprefix("module."): value for name, value in published.items()}
    result = Conversion({})
    for name in published:
        if not name.startswith(_PARTS):
            result.dropped[name] = "no part of a detector"
    tower = _tower_prefix(published, source)
    tower_names = [n for n in published if n.startswith(tower) and n.removeprefix(tower).startswith(_TOWER_PARTS)]
    renamed = to_open_clip_layout({f"visual.{n.removeprefix(tower)}": published[n] for n in tower_names}, source)
    result.state_dict.update({f"backbone.encoder.{name}": value for name, value in renamed.items()})
    result.dropped.update(
        {n: "rotary table, computed from the architecture" for n in tower_names if "rope." in n.removeprefix(tower)}
    )
    others = [n for n in published if n.startswith("backbone.") and n not in set(tower_names)]
    result.state_dict.update(_adaptors(published, others, source))
    for name, value in published.items():
        if name.startswith(_PARTS[1:]):
            _place(name, value, expected, result)
    mismatch = StateDictMismatch.between(expected, result.state_dict)
    if mismatch:
        raise ValueError(
            f"{source} does not fit the config's detector: {mismatch}. Take the config of the same architecture and "
            "data set (ov-coco or ov-lvis, b16 or l14)."
        )
    return result


def _tower_prefix(published: Mapping[str, Tensor], source: str) -> str:
    ends = [n for n in published if n.startswith("backbone.") and n.endswith("pos_embed")]
    if len(ends) != 1:
        raise ValueError(
            f"{source}: {len(ends)} names like 'backbone. ... pos_embed', one is expected: is this an F-ViT detector "
            "over an EVA-CLIP tower?"
        )
    return ends[0].removesuffix("pos_embed")


def _adaptors(published: Mapping[str, Tensor], names: list[str], source: str) -> dict[str, Tensor]:
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
    if len(modules) != len(_ADAPTORS):
        raise ValueError(
            f"{source}: the backbone has {len(modules)} modules beside the tower ({', '.join(modules[:6])}); the "
            f"pyramid's adaptors are {len(_ADAPTORS)}: two transposed convolutions with a norm between, and one more."
        )
    targets = dict(zip(modules, _ADAPTORS, strict=True))
    placed = {}
    for name in names:
        module, _, leaf = name.rpartition(".")
        placed[f"backbone.{targets[module]}.{leaf}"] = published[name]
    return placed


def _place(name: str, value: Tensor, expected: Mapping[str, Tensor], result: Conversion) -> None:
    if name in expected:
        result.state_dict[name] = value
    elif name.startswith(f"{_BOX_HEAD}fc_cls."):
        result.dropped[name] = "unused linear classifier"
    elif name.startswith(_BOX_HEAD) and value.numel() == 1 and value.is_floating_point():
        result.state_dict[f"{_BOX_HEAD}temperature"] = value.reshape(())
    elif name.startswith(_BOX_HEAD) and value.ndim == 2:
        result.dropped[name] = "class embeddings, which the config names"
    else:
        result.dropped[name] = "unknown"
