import pytest
import torch
from torch.nn.functional import interpolate, linear, normalize

from densevlm_mm.models.encoders import DenseImageEncoder

TOLERANCE = {"atol": 5e-6, "rtol": 1e-5}


def positions(pool, grid):
    patches = pool.positional_embedding[1:].reshape(1, 2, 2, -1).permute(0, 3, 1, 2)
    return interpolate(patches, grid, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160), (32, 64)])
def test_dense_path_is_the_pools_value_path(stock_model, images, height, width):
    model = stock_model("resnet")
    visual, x, grid = model.visual, images(height, width), (height // 32, width // 32)
    encoder = DenseImageEncoder(clip_model=model)
    features, dense = encoder.features_and_dense(x, (3, 1))
    with torch.no_grad():
        stage_2 = visual.layer2(visual.layer1(visual.stem(x)))
        stage_4 = visual.layer4(visual.layer3(stage_2))
        tokens = stage_4.flatten(2).transpose(1, 2) + positions(visual.attnpool, grid)
        expected = normalize(visual.attnpool.c_proj(visual.attnpool.v_proj(tokens)), dim=-1)
    torch.testing.assert_close(features[0], stage_4)
    torch.testing.assert_close(features[1], stage_2)
    torch.testing.assert_close(dense, expected.transpose(1, 2).unflatten(2, grid), atol=2e-6, rtol=0)


def test_global_embedding_is_open_clips_at_native_size(stock_model, images):
    model = stock_model("resnet")
    with torch.no_grad():
        expected = model.encode_image(images(64, 64))
    torch.testing.assert_close(DenseImageEncoder(clip_model=model)(images(64, 64)), expected, **TOLERANCE)


def test_global_embedding_attends_from_the_mean_at_other_sizes(stock_model, images):
    model = stock_model("resnet")
    pool, x = model.visual.attnpool, images(96, 64)
    found = DenseImageEncoder(clip_model=model)(x)
    with torch.no_grad():
        maps = model.visual.layer4(model.visual.layer3(model.visual.layer2(model.visual.layer1(model.visual.stem(x)))))
        tokens = maps.flatten(2).transpose(1, 2)
        mean = tokens.mean(1, keepdim=True) + pool.positional_embedding[0]
        tokens = torch.cat([mean, tokens + positions(pool, (3, 2))], 1)
        q, k, v = (
            p(t).unflatten(-1, (pool.num_heads, -1))
            for p, t in ((pool.q_proj, mean), (pool.k_proj, tokens), (pool.v_proj, tokens))
        )
        attention = torch.softmax(torch.einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5, -1)
        expected = pool.c_proj(torch.einsum("bhqk,bkhd->bqhd", attention, v).flatten(2))[:, 0]
    torch.testing.assert_close(found, expected, **TOLERANCE)


@pytest.mark.parametrize(("height", "width"), [(63, 95), (32, 33), (127, 64)])
def test_the_grid_is_floored(stock_model, images, height, width):
    encoder = DenseImageEncoder(clip_model=stock_model("resnet"))
    assert encoder.dense(images(height, width)).shape[-2:] == (height // 32, width // 32)


def test_value_projection_is_linear_in_the_checkpoint(stock_model, images):
    """The reference above shares modules with the tower: this one uses the stored tensors alone."""
    model = stock_model("resnet")
    w, stage_4 = model.state_dict(), DenseImageEncoder(clip_model=model).features(images(64, 64), (3,))[0]
    tokens = stage_4.flatten(2).transpose(1, 2) + w["visual.attnpool.positional_embedding"][1:]
    for name in ("v_proj", "c_proj"):
        tokens = linear(tokens, w[f"visual.attnpool.{name}.weight"], w[f"visual.attnpool.{name}.bias"])
    expected = normalize(tokens, dim=-1).transpose(1, 2).unflatten(2, (2, 2))
    torch.testing.assert_close(DenseImageEncoder(clip_model=model).dense(images(64, 64)), expected, atol=2e-6, rtol=0)
