import pytest
import timm
import torch
from torch.nn.functional import interpolate, normalize

from densevlm_mm.models.clip import build_clip
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.encoders.towers import adapter_for

TOLERANCE = {"atol": 5e-6, "rtol": 1e-5}


def resized(table, grid, num_prefix, new):
    """Position table (1, P + h * w, C) with its patch part resized bicubic, not antialiased."""
    patches = table[:, num_prefix:].unflatten(1, grid).permute(0, 3, 1, 2)
    patches = interpolate(patches, new, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    return torch.cat([table[:, :num_prefix], patches], 1)


def block_input(trunk, x, grid, new):
    """Tokens that enter the last block, run with timm's own blocks; (B, P + h * w, C)."""
    prefix = 0 if trunk.no_embed_class else trunk.num_prefix_tokens
    positions = resized(trunk.pos_embed, grid, prefix, new)
    tokens = trunk.patch_embed(x)
    if trunk.cls_token is not None:
        tokens = torch.cat([trunk.cls_token.expand(len(x), -1, -1), tokens], 1)
    return trunk.blocks[:-1](trunk.norm_pre(tokens + positions))


def value_block(block, tokens):
    """A block in which every token attends to itself alone: timm's block on sequences of one token."""
    return block(tokens.flatten(0, 1)[:, None]).view_as(tokens)


@pytest.mark.parametrize(("family", "prefix"), [("timm_vit", 1), ("timm_gap", 0)])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 64), (24, 56)])
def test_dense_path_equals_attention_of_each_token_to_itself(stock_model, images, family, prefix, height, width):
    model = stock_model(family)
    visual, trunk = model.visual, model.visual.trunk
    encoder = DenseImageEncoder(clip_model=model)
    x, grid = images(height, width), (height // 8, width // 8)
    features, dense = encoder.features_and_dense(x, (0, 1))
    with torch.no_grad():
        tokens = block_input(trunk, x, (4, 4), grid)
        last = value_block(trunk.blocks[-1], tokens)
        projected = visual.head(trunk.fc_norm(trunk.norm(last)))[:, prefix:]
        pooled = visual.head(trunk.forward_head(trunk.norm(trunk.blocks[-1](tokens))))
    torch.testing.assert_close(features[0], tokens[:, prefix:].transpose(1, 2).unflatten(2, grid), **TOLERANCE)
    torch.testing.assert_close(features[1], last[:, prefix:].transpose(1, 2).unflatten(2, grid), **TOLERANCE)
    torch.testing.assert_close(
        dense, normalize(projected, dim=-1).transpose(1, 2).unflatten(2, grid), atol=3e-6, rtol=0
    )
    torch.testing.assert_close(encoder(x), pooled, **TOLERANCE)


@pytest.mark.parametrize("family", ["timm_vit", "timm_gap", "siglip"])
def test_global_embedding_is_open_clips_at_native_size(stock_model, images, family):
    model = stock_model(family)
    with torch.no_grad():
        expected = model.encode_image(images(32, 32))
    torch.testing.assert_close(DenseImageEncoder(clip_model=model)(images(32, 32)), expected, **TOLERANCE)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 56), (45, 71)])
def test_siglip_pools_every_patch_alone(stock_model, images, height, width):
    model = stock_model("siglip")
    trunk, x, grid = model.visual.trunk, images(height, width), (height // 8, width // 8)
    dense = DenseImageEncoder(clip_model=model).dense(x)
    with torch.no_grad():
        tokens = trunk.norm(trunk.blocks[-1](block_input(trunk, x[..., : grid[0] * 8, : grid[1] * 8], (4, 4), grid)))
        alone = trunk.attn_pool(tokens.flatten(0, 1)[:, None]).unflatten(0, tokens.shape[:2])
    expected = normalize(alone, dim=-1).transpose(1, 2).unflatten(2, grid)
    torch.testing.assert_close(dense, expected, atol=3e-6, rtol=0)


def test_average_pooling_with_a_convolutional_stem_is_the_mean_of_the_projected_tokens(images):
    """TinyScenes: with a value-path last block the mean of the unnormalised dense map would be the embedding."""
    model = build_clip("TinyScenes-S", "random")
    trunk, x = model.visual.trunk, images(64, 64)
    encoder = DenseImageEncoder(clip_model=model)
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), model.encode_image(x), **TOLERANCE)
        tokens = value_block(trunk.blocks[-1], block_input(trunk, x, (8, 8), (8, 8)))
        expected = normalize(model.visual.head(trunk.norm(tokens)), dim=-1).transpose(1, 2).unflatten(2, (8, 8))
    torch.testing.assert_close(encoder.dense(x), expected, atol=3e-6, rtol=0)
    assert encoder.dense(images(100, 71)).shape == (2, 128, 12, 8)


def test_towers_without_a_dense_path_are_refused():
    visual = build_clip("TinyScenes-S", "random").visual
    visual.trunk = timm.create_model("resnet18")
    with pytest.raises(ValueError, match="ResNet has no dense path"):
        adapter_for(visual)


def test_foreign_blocks_are_refused(stock_model):
    visual = stock_model("timm_vit").visual
    visual.trunk.blocks[1].attn = torch.nn.Identity()
    with pytest.raises(ValueError, match="Block with Identity"):
        adapter_for(visual)
