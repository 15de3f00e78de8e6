"""A tiny CAT-Seg over a random CLIP of open_clip's own transformers, at 32 pixels: 4 x 4 tokens."""

import copy
from collections.abc import Callable

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

CLIP = dict(
    embed_dim=8,
    quick_gelu=True,
    vision_cfg=dict(image_size=16, patch_size=8, width=32, layers=3, head_width=16),
    text_cfg=dict(context_length=16, vocab_size=49408, width=16, heads=2, layers=2),
)


@pytest.fixture
def segmentation_scope(_default_scope) -> None:
    """The scope of segmentation configs, with the segmentation parts registered."""
    import densevlm_mm.segmentation  # noqa: F401

    init_default_scope("mmseg")


@pytest.fixture
def cat_seg_config(segmentation_scope) -> ConfigDict:
    clip = dict(model_name=CLIP, checkpoint="random")
    aggregator = dict(
        channels=16,
        num_heads=2,
        window_size=2,
        decoder_guidance_channels=(4, 4),
        decoder_channels=(16, 16),
        max_classes=4,
    )
    return ConfigDict(
        type="CATSeg",
        image_encoder=dict(
            type="densevlm_mm.DenseImageEncoder",
            image_size=32,
            trainable="query_value",
            dense_residual="cls",
            **copy.deepcopy(clip),
        ),
        text_encoder=dict(type="densevlm_mm.ClipTextEncoder", trainable="query_value", **copy.deepcopy(clip)),
        guidance_indices=(0, 1),
        decode_head=dict(type="CATSegHead", guidance_channels=(6, 5), aggregator=aggregator),
        class_embeddings=dict(vocabulary=["cat", "dog, hound", "sky"]),
        test_class_embeddings=dict(vocabulary=["sky", "cat", "grass", "dog", "sea"]),
    )


@pytest.fixture
def build_cat_seg(cat_seg_config) -> Callable:
    from mmseg.registry import MODELS

    def build(noise=0.2, **options):
        torch.manual_seed(0)
        config = copy.deepcopy(cat_seg_config)
        for key, value in options.items():  # ConfigDict.update would merge
            config[key] = value
        model = MODELS.build(config)
        with torch.no_grad():  # logits of all signs and sizes
            for parameter in model.parameters():
                parameter.add_(noise * torch.randn_like(parameter))
        return model

    return build
