"""Patch tokens of vision models of timm, for teachers that know no text."""

from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from densevlm_mm.models.clip.image_normalization import normalize_images
from densevlm_mm.registry import MODELS


@MODELS.register_module()
class TimmFeatures(nn.Module):
    """A plain vision transformer of timm (DINOv2, DINOv3, PE-Spatial, TIPS, ...) that gives one feature a patch.

    It is built for any input whose sides are multiples of its patch; its position embedding is resampled, as timm does.
    Prefix tokens (class, registers) are dropped.

    Weights have licences of their own, which ``timm.get_pretrained_cfg(model_name).license`` names: Apache-2.0 for
    ``vit_base_patch14_dinov2.lvd142m``, ``vit_pe_spatial_base_patch16_512.fb`` and
    ``vit_base_patch14_reg1_tipsv2.webli``; DINOv3 has its own, C-RADIO NVIDIA's.

    Args:
        model_name: Name in timm, with the tag of the weights.
        layer: Block whose tokens are taken, after the model's final norm: 0 is the first, -1 the last.
        checkpoint: None takes timm's weights, which it downloads once; a file has them in timm's layout
            (``.safetensors``, or ``.pth`` without code in it); 'random' takes none.

    Attributes:
        embed_dim: Width of the tokens.
        stride: Pixels of a patch a side.
        mean: Mean of each RGB channel, 0-1 scale.
        std: Standard deviation of each RGB channel, 0-1 scale.

    Raises:
        FileNotFoundError: If the weights are not there and cannot be fetched.
        ValueError: If timm has no such model, it has no square patches of one grid, or no such layer, or the file has
            other weights.

    Example:
        >>> teacher = TimmFeatures("vit_base_patch14_dinov2.lvd142m")
        >>> teacher.dense(teacher.normalize(255 * torch.rand(1, 3, 448, 448))).shape
        torch.Size([1, 768, 32, 32])
    """

    def __init__(self, model_name: str, layer: int = -1, checkpoint: str | None = None) -> None:
        super().__init__()
        if not timm.is_model(model_name):
            raise ValueError(f"timm {timm.__version__} has no model {model_name!r}: see timm.list_models()")
        model = self.model = _build(model_name, pretrained=checkpoint is None)
        if checkpoint not in (None, "random"):
            _load(model, str(checkpoint), model_name)
        height, width = model.patch_embed.patch_size
        if height != width:
            raise ValueError(f"the patches of {model_name!r} are {height} x {width} pixels, not square")
        num_blocks = len(model.blocks)
        if not -num_blocks <= layer < num_blocks:
            raise ValueError(f"layer={layer}: {model_name!r} has the blocks 0 to {num_blocks - 1} (or -1, -2, ...)")
        self.layer = layer % num_blocks
        self.stride, self.embed_dim = height, model.embed_dim
        self.mean, self.std = (tuple(model.pretrained_cfg[key]) for key in ("mean", "std"))

    def normalize(self, images: Tensor) -> Tensor:
        """Normalise RGB images (B, 3, H, W) in 0-255 as the model was trained; see :func:`normalize_images`."""
        return normalize_images(images, self.mean, self.std)

    def dense(self, images: Tensor) -> Tensor:
        """Compute one feature a patch.

        Args:
            images: (B, 3, H, W), normalised, H and W multiples of ``stride``.

        Returns:
            (B, D, H // stride, W // stride) float32, unit norm at every position.

        Raises:
            ValueError: If a side is no multiple of the patch.
        """
        if any(side % self.stride for side in images.shape[-2:]):
            raise ValueError(
                f"images of {tuple(images.shape[-2:])} pixels do not divide into patches of {self.stride} pixels"
            )
        (tokens,) = self.model.forward_intermediates(
            images, indices=[self.layer], norm=True, stop_early=True, intermediates_only=True
        )
        return functional.normalize(tokens.float(), dim=1)


def _build(model_name: str, pretrained: bool) -> Any:
    try:
        model = timm.create_model(model_name, pretrained=pretrained, num_classes=0, dynamic_img_size=True)
    except TypeError as error:  # an argument that only plain vision transformers have
        raise ValueError(
            f"{model_name!r} is no plain vision transformer, whose patches are one grid of any size: {error}"
        ) from error
    except OSError as error:
        raise FileNotFoundError(
            f"the weights of {model_name!r} are not in the cache and cannot be fetched ({error}): give "
            "teacher.checkpoint the file model.safetensors of its page on the hub"
        ) from error
    if not hasattr(model, "forward_intermediates"):
        raise ValueError(f"timm's {model_name!r} does not give the tokens of its blocks")
    return model


def _load(model: Any, path: str, model_name: str) -> None:
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path!r} of weights for {model_name!r}")
    state = timm.models.load_state_dict(path, use_ema=False, weights_only=True)
    own = model.state_dict()
    unfit = [name for name, value in own.items() if name not in state or state[name].shape != value.shape]
    if unfit:
        raise ValueError(
            f"{path} does not have the weights of timm's {model_name!r}: {unfit[0]!r} {tuple(own[unfit[0]].shape)} is "
            f"missing or has another shape, as {len(unfit)} of {len(own)} are. It must be in timm's layout."
        )
    with torch.no_grad():
        model.load_state_dict({name: state[name] for name in own})
