"""The TinyScenes CLIPs: two small architectures that open_clip builds by name like any other.

``TinyScenes-S`` (student) and ``TinyScenes-T`` (teacher) are timm vision transformers whose patch embedding is a
convolutional stem with batch norm, without a class token; the embedding is the mean over the projected tokens, so that
each token's projection lies in the space of the global embedding. A plain patchify stem does not learn on the few
thousand images of TinyScenes. Importing this module registers the timm models and the open_clip configurations;
inputs are normalised with open_clip's default (OpenAI's) mean and standard deviation.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import open_clip
import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from densevlm_mm.models.clip.tokenizer import BPE_FOLDERS

ASSETS_DIR = Path(__file__).resolve().parent / "assets"
STUDENT_NAME = "TinyScenes-S"
TEACHER_NAME = "TinyScenes-T"
STRIDE = 8


class _ConvNorm(nn.Sequential):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out_channels)
        )


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _ConvNorm(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.conv(x))


class ConvStem(nn.Module):
    """Three strided convolutions and two residual blocks instead of a patch embedding (timm's ``embed_layer``).

    Args:
        img_size: Native side of the input in pixels.
        patch_size: Must be 8, the stem's stride.
        in_chans: Input channels.
        embed_dim: Channels of the tokens; the stages have a quarter, half and all of them.
        bias: Ignored; the convolutions are followed by batch norms.
        dynamic_img_pad: Not supported; input sides are cut to a multiple of the stride.

    Raises:
        ValueError: If ``patch_size`` is not 8 or padding is asked for.
    """

    def __init__(
        self,
        img_size: int = 64,
        patch_size: int = STRIDE,
        in_chans: int = 3,
        embed_dim: int = 96,
        bias: bool = True,
        dynamic_img_pad: bool = False,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if patch_size != STRIDE or dynamic_img_pad:
            raise ValueError(f"ConvStem has stride {STRIDE} and pads nothing; got patch_size {patch_size}")
        self.img_size = (img_size, img_size)
        self.patch_size = (STRIDE, STRIDE)
        self.grid_size = (img_size // STRIDE, img_size // STRIDE)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        widths = (in_chans, embed_dim // 4, embed_dim // 2, embed_dim)
        stages: list[nn.Module] = []
        for in_channels, out_channels in pairwise(widths):
            stages += [_ConvNorm(in_channels, out_channels, 2), nn.ReLU()]
        self.stages = nn.Sequential(*stages)
        self.blocks = nn.Sequential(_ResidualBlock(embed_dim), _ResidualBlock(embed_dim))
        self.to(device=device, dtype=dtype)

    def feat_ratio(self, as_scalar: bool = True) -> int | tuple[int, int]:
        """Pixels a token; asked for by timm."""
        return STRIDE if as_scalar else self.patch_size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Tokens of images of any size.

        Args:
            images: (B, 3, H, W), sides of at least 8; what exceeds a multiple of 8 is cut off.

        Returns:
            (B, (H // 8) * (W // 8), embed_dim), row by row.
        """
        height, width = (side // STRIDE * STRIDE for side in images.shape[-2:])
        features = self.blocks(self.stages(images[..., :height, :width]))
        return features.flatten(2).transpose(1, 2)


default_cfgs = generate_default_cfgs(
    {
        "tiny_scenes_vit_s.untrained": {"input_size": (3, 64, 64), "num_classes": 0},
        "tiny_scenes_vit_t.untrained": {"input_size": (3, 64, 64), "num_classes": 0},
    }
)


def _build(variant: str, pretrained: bool, width: int, depth: int, **kwargs: Any) -> VisionTransformer:
    # fc_norm=False: every token is normed before the mean, as the dense path norms it.
    settings: dict[str, Any] = {
        "img_size": 64,
        "patch_size": STRIDE,
        "embed_dim": width,
        "depth": depth,
        "num_heads": 4,
        "class_token": False,
        "global_pool": "avg",
        "fc_norm": False,
        "embed_layer": ConvStem,
    }
    return build_model_with_cfg(VisionTransformer, variant, pretrained, **{**settings, **kwargs})


@register_model
def tiny_scenes_vit_s(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """The student's image tower: width 96, 2 blocks. The signature is timm's."""
    return _build("tiny_scenes_vit_s", pretrained, width=96, depth=2, **kwargs)


@register_model
def tiny_scenes_vit_t(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """The teacher's image tower: width 128, 3 blocks. The signature is timm's."""
    return _build("tiny_scenes_vit_t", pretrained, width=128, depth=3, **kwargs)


BPE_FOLDERS.append(ASSETS_DIR)
for _name in (STUDENT_NAME, TEACHER_NAME):
    open_clip.add_model_config(ASSETS_DIR / f"{_name}.json")
