"""Tiny random open_clip models of every tower family, with every bias, norm and buffer randomised."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from open_clip import CLIP, CustomTextCLIP
from timm.models import build_model_with_cfg, register_model
from timm.models.convnext import ConvNeXt
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

TEXT = {"context_length": 8, "vocab_size": 20, "width": 16, "heads": 2, "layers": 1}
EVA = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2, "global_pool": "token"}
EVA["norm_layer"] = partial(nn.LayerNorm, eps=1e-6)
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}


@register_model
def encoder_test_eva02(pretrained: bool = False, **kwargs: Any) -> Eva:
    """As EVA-02 CLIP: separate projections, SwiGLU, inner norms, rotary and absolute positions."""
    rotary = {"use_rot_pos_emb": True, "ref_feat_shape": (16, 16)}
    inner = {"qkv_fused": False, "mlp_ratio": 8 / 3, "swiglu_mlp": True, "scale_mlp": True, "scale_attn_inner": True}
    return build_model_with_cfg(Eva, "encoder_test_eva02", pretrained, **{**EVA, **rotary, **inner, **kwargs})


@register_model
def encoder_test_eva01(pretrained: bool = False, **kwargs: Any) -> Eva:
    """As EVA-01 CLIP: one projection for query, key and value, no rotary positions."""
    return build_model_with_cfg(Eva, "encoder_test_eva01", pretrained, **{**EVA, **kwargs})


@register_model
def encoder_test_eva_post(pretrained: bool = False, **kwargs: Any) -> Eva:
    """As EVA-02-E CLIP: the norms come after attention and MLP."""
    args = {**EVA, "use_post_norm": True, **kwargs}
    return build_model_with_cfg(Eva, "encoder_test_eva_post", pretrained, **args)


@register_model
def encoder_test_vit(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """A timm ViT with a class token and layer scale."""
    return build_model_with_cfg(
        VisionTransformer, "encoder_test_vit", pretrained, **{**VIT, "init_values": 0.5, **kwargs}
    )


@register_model
def encoder_test_gap(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """A timm ViT without class token that norms after average pooling."""
    gap = {"class_token": False, "global_pool": "avg", "no_embed_class": True}
    return build_model_with_cfg(VisionTransformer, "encoder_test_gap", pretrained, **{**VIT, **gap, **kwargs})


@register_model
def encoder_test_siglip(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """A timm ViT that pools by attention from a latent query."""
    pool = {"class_token": False, "global_pool": "map"}
    return build_model_with_cfg(VisionTransformer, "encoder_test_siglip", pretrained, **{**VIT, **pool, **kwargs})


@register_model
def encoder_test_convnext(pretrained: bool = False, **kwargs: Any) -> ConvNeXt:
    """A ConvNeXt of four one-block stages."""
    shape = {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 32)}
    return build_model_with_cfg(ConvNeXt, "encoder_test_convnext", pretrained, **{**shape, **kwargs})


def _timm(name: str, pool: str, proj: str | None, image_size: int = 32) -> dict[str, Any]:
    return {"image_size": image_size, "timm_model_name": name, "timm_pool": pool, "timm_proj": proj}


OPENAI_VIT = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
VISION: dict[str, dict[str, Any]] = {
    "vit": OPENAI_VIT,
    "vit_avg": {**OPENAI_VIT, "pool_type": "avg", "ls_init_value": 0.5, "final_ln_after_pool": True},
    "eva02": _timm("encoder_test_eva02", "token", None),
    "eva01": _timm("encoder_test_eva01", "token", None),
    "timm_vit": _timm("encoder_test_vit", "token", "mlp"),
    "timm_gap": _timm("encoder_test_gap", "", "linear"),
    "siglip": _timm("encoder_test_siglip", "map", "none"),
    "resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64, "patch_size": None},
    "convnext": _timm("encoder_test_convnext", "", "linear", image_size=64),
}


def model_config(family: str) -> dict[str, Any]:
    """Return the open_clip config of a family of tiny models."""
    embed_dim = 32 if family == "siglip" else 16
    text = {**TEXT, "width": embed_dim} if family == "siglip" else TEXT
    quick = {"quick_gelu": True} if family == "vit" else {}
    custom = {"custom_text": True} if family.startswith("eva") else {}
    return {"embed_dim": embed_dim, "vision_cfg": dict(VISION[family]), "text_cfg": dict(text), **quick, **custom}


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter and batch statistic a random value that keeps activations of order one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if not tensor.is_floating_point() or name.endswith(("attn_mask", "k_bias")) or "rope" in name:
                continue  # constants
            noise = torch.randn(tensor.shape, generator=generator)
            if "running_var" in name:
                tensor.copy_(noise.abs() + 0.5)
            elif tensor.ndim > 1:
                tensor.copy_(noise * (2 / tensor[0].numel()) ** 0.5 if "pos" not in name else noise)
            else:
                tensor.copy_(noise * 0.3 + (1 if "weight" in name or "gamma" in name else 0))
    return model.eval()


def build_model(family: str, seed: int = 0) -> nn.Module:
    """Build a randomised stock open_clip model, image and text tower."""
    config = model_config(family)
    custom_text = config.pop("custom_text", False)
    return randomise((CustomTextCLIP if custom_text else CLIP)(**config), seed)


@pytest.fixture
def stock_model() -> Callable[..., nn.Module]:
    return build_model


@pytest.fixture
def stock_config() -> Callable[[str], dict[str, Any]]:
    return model_config


@pytest.fixture
def images() -> Callable[..., Tensor]:
    """Random images (2, 3, height, width), the same for the same size."""

    def make(height: int, width: int, batch: int = 2) -> Tensor:
        return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(height * 1000 + width))

    return make
