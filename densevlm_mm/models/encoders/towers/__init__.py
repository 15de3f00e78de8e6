"""Adapters that read each family of open_clip image towers densely."""

from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from timm.models.convnext import ConvNeXt
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import nn

from densevlm_mm.models.encoders.towers.base import Tower
from densevlm_mm.models.encoders.towers.convnext import ConvNeXtTower
from densevlm_mm.models.encoders.towers.eva import EvaTower
from densevlm_mm.models.encoders.towers.modified_resnet import ModifiedResNetTower
from densevlm_mm.models.encoders.towers.timm_vit import TimmViTTower
from densevlm_mm.models.encoders.towers.transformer import TransformerTower
from densevlm_mm.models.encoders.towers.vit import OpenClipViTTower

__all__ = ["Tower", "TransformerTower", "adapter_for"]

_ADAPTERS: list[tuple[type[nn.Module], type[Tower]]] = [
    (VisionTransformer, OpenClipViTTower),
    (ModifiedResNet, ModifiedResNetTower),
]
_TIMM_ADAPTERS: list[tuple[type[nn.Module], type[Tower]]] = [
    (Eva, EvaTower),
    (TimmVisionTransformer, TimmViTTower),
    (ConvNeXt, ConvNeXtTower),
]


def adapter_for(visual: nn.Module) -> Tower:
    """Return the adapter that reads an open_clip image tower densely.

    Args:
        visual: ``model.visual`` of an open_clip model; it is used in place, not copied.

    Raises:
        ValueError: If the architecture has no dense path.
    """
    model, adapters = (visual.trunk, _TIMM_ADAPTERS) if isinstance(visual, TimmModel) else (visual, _ADAPTERS)
    for tower_type, adapter_type in adapters:
        if isinstance(model, tower_type):
            return adapter_type(visual)
    raise ValueError(
        f"image tower {type(model).__module__}.{type(model).__name__} has no dense path: supported are OpenAI/OpenCLIP "
        "ViT and ModifiedResNet, and EVA, VisionTransformer and ConvNeXt of timm"
    )
