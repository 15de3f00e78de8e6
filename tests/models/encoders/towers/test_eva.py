import copy

import pytest
import timm
import torch
from torch.nn.functional import conv2d, interpolate, layer_norm, linear, normalize, silu

from densevlm_mm.models.encoders import DenseImageEncoder

TOLERANCE = {"atol": 5e-6, "rtol": 1e-5}


def rotary(x, grid, reference_side=16):
    """Rotate channel pairs of patches (B, heads, h * w, d) by exact per-axis angles; the first half of d is for y."""
    y, x_axis = (torch.arange(n) / n * reference_side for n in grid)
    bands = 10000.0 ** -(torch.arange(x.shape[-1] // 4) / (x.shape[-1] // 4))
    angles = torch.cat(
        [(y[:, None] * bands)[:, None].expand(-1, grid[1], -1), (x_axis[:, None] * bands).expand(grid[0], -1, -1)], -1
    )
    angles = angles.flatten(0, 1)
    even, odd = x[..., 0::2], x[..., 1::2]
    rotated = even * angles.cos() - odd * angles.sin(), odd * angles.cos() + even * angles.sin()
    return torch.stack(rotated, -1).flatten(-2)


def reference(weights, images, fused, pos_grid=4, patch=8, heads=2, residual="token"):
    """EVA-CLIP's image tower and its dense path, written out from the checkpoint's tensors."""
    w = {k.removeprefix("visual.trunk."): v for k, v in weights.items() if k.startswith("visual.trunk.")}

    def ln(name, x):
        return layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], 1e-6)

    def qkv(a, x):
        if fused:
            weight, bias = w[a + "qkv.weight"], torch.cat([w[a + "q_bias"], torch.zeros(32), w[a + "v_bias"]])
            return linear(x, weight, bias).chunk(3, -1)
        q, v = (linear(x, w[f"{a}{n}_proj.weight"], w[f"{a}{n}_proj.bias"]) for n in "qv")
        return q, linear(x, w[a + "k_proj.weight"]), v

    def out(a, values):
        return linear(values if fused else ln(a + "norm", values), w[a + "proj.weight"], w[a + "proj.bias"])

    def attend(a, x, grid):
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in qkv(a, x))
        if not fused:
            q, k = (torch.cat([t[:, :, :1], rotary(t[:, :, 1:], grid)], 2) for t in (q, k))
        mixed = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1) @ v
        return out(a, mixed.transpose(1, 2).flatten(2))

    def mlp(m, x):
        if fused:
            return linear(
                torch.nn.functional.gelu(linear(x, w[m + "fc1.weight"], w[m + "fc1.bias"])),
                w[m + "fc2.weight"],
                w[m + "fc2.bias"],
            )
        hidden = silu(linear(x, w[m + "fc1_g.weight"], w[m + "fc1_g.bias"])) * linear(
            x, w[m + "fc1_x.weight"], w[m + "fc1_x.bias"]
        )
        return linear(ln(m + "norm", hidden), w[m + "fc2.weight"], w[m + "fc2.bias"])

    x = conv2d(images, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=patch)
    grid = x.shape[-2:]
    pos = w["pos_embed"][:, 1:].reshape(1, pos_grid, pos_grid, -1).permute(0, 3, 1, 2)
    pos = interpolate(pos, grid, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    cls = (w["cls_token"] + w["pos_embed"][:, :1]).expand(len(x), -1, -1)
    x = torch.cat([cls, x.flatten(2).transpose(1, 2) + pos], 1)
    x = x + attend("blocks.0.attn.", ln("blocks.0.norm1", x), grid)
    x = x + mlp("blocks.0.mlp.", ln("blocks.0.norm2", x))
    full = x + attend("blocks.1.attn.", ln("blocks.1.norm1", x), grid)
    full = full + mlp("blocks.1.mlp.", ln("blocks.1.norm2", full))
    value = out("blocks.1.attn.", qkv("blocks.1.attn.", ln("blocks.1.norm1", x))[2])
    y = (x if residual == "token" else x[:, :1]) + value
    y = (y + mlp("blocks.1.mlp.", ln("blocks.1.norm2", y)))[:, 1:]
    head = lambda t: linear(ln("norm", t), w["head.weight"], w["head.bias"])  # noqa: E731
    as_map = lambda t: t.transpose(1, 2).unflatten(2, grid)  # noqa: E731
    return head(full[:, 0]), as_map(x[:, 1:]), as_map(y), as_map(normalize(head(y), dim=-1))


@pytest.mark.parametrize("family", ["eva02", "eva01"])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 64), (24, 56), (8, 40), (45, 71)])
def test_matches_the_written_out_path_at_any_size(stock_model, images, family, height, width):
    model = stock_model(family)
    x = images(height, width)
    encoder = DenseImageEncoder(clip_model=model)
    pooled, block_0, block_1, dense = reference(model.state_dict(), x, fused=family == "eva01")
    features, found = encoder.features_and_dense(x, (0, 1))
    torch.testing.assert_close(encoder(x), pooled, **TOLERANCE)
    torch.testing.assert_close(found, dense, atol=3e-6, rtol=0)
    torch.testing.assert_close(features[0], block_0, **TOLERANCE)
    torch.testing.assert_close(features[1], block_1, **TOLERANCE)


def test_cls_residual_adds_the_class_token_of_the_block_input(stock_model, images):
    model = stock_model("eva02")
    dense = reference(model.state_dict(), images(40, 32), fused=False, residual="cls")[3]
    found = DenseImageEncoder(clip_model=model, dense_residual="cls").dense(images(40, 32))
    torch.testing.assert_close(found, dense, atol=3e-6, rtol=0)


@pytest.mark.parametrize("family", ["eva02", "eva01"])
def test_global_embedding_is_open_clips_at_native_size(stock_model, images, family):
    model = stock_model(family)
    with torch.no_grad():
        expected = model.encode_image(images(32, 32))
    torch.testing.assert_close(DenseImageEncoder(clip_model=model)(images(32, 32)), expected, **TOLERANCE)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (24, 56)])
def test_other_sizes_agree_with_a_timm_tower_built_for_them(stock_model, images, height, width):
    """timm's dynamic tower, given a position embedding resized as CLIPSelf and DenseVLM resize it."""
    model = stock_model("eva02")
    dynamic = timm.create_model("encoder_test_eva02", num_classes=16, img_size=(height, width), dynamic_img_size=True)
    weights = copy.deepcopy(model.visual.trunk.state_dict())
    cls, grid = weights["pos_embed"][:, :1], weights["pos_embed"][:, 1:].unflatten(1, (4, 4)).permute(0, 3, 1, 2)
    grid = interpolate(grid, (height // 8, width // 8), mode="bicubic", align_corners=False)
    weights["pos_embed"] = torch.cat([cls, grid.flatten(2).transpose(1, 2)], 1)
    dynamic.load_state_dict(weights)
    with torch.no_grad():
        expected = dynamic.eval()(images(height, width))
    torch.testing.assert_close(DenseImageEncoder(clip_model=model)(images(height, width)), expected, **TOLERANCE)


@pytest.mark.parametrize("name", ["EVA02-B-16", "EVA02-L-14-336", "EVA01-g-14", "EVA02-E-14"])
def test_published_architectures_are_supported(name):
    import open_clip

    config = open_clip.get_model_config(name)
    with torch.device("meta"):
        visual = open_clip.CustomTextCLIP(
            config["embed_dim"], config["vision_cfg"], {"layers": 1, "width": 64, "heads": 1}
        ).visual
    from densevlm_mm.models.encoders.towers import adapter_for

    tower = adapter_for(visual)
    assert tower.embed_dim == config["embed_dim"]
    assert tower.stride == (16 if name == "EVA02-B-16" else 14)
    assert tower.native_size == (config["vision_cfg"]["image_size"],) * 2


def test_post_norm_blocks_norm_the_branch(images):
    """EVA02-E: x += norm1(attn(x)); x += norm2(mlp(x))."""
    from open_clip import CustomTextCLIP

    vision = {"image_size": 32, "timm_model_name": "encoder_test_eva_post", "timm_pool": "token", "timm_proj": None}
    model = CustomTextCLIP(16, vision, {"context_length": 4, "vocab_size": 8, "width": 16, "heads": 1, "layers": 1})
    encoder = DenseImageEncoder(clip_model=model)
    trunk, x = model.visual.trunk, images(32, 32)
    block = trunk.blocks[-1]
    for norm in (block.norm1, block.norm2):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    tokens = encoder.features(x, (0,))[0].flatten(2).transpose(1, 2)
    with torch.no_grad():
        values = linear(tokens, block.attn.qkv.weight[64:], block.attn.v_bias)
        tokens = tokens + block.norm1(block.attn.proj(values))
        tokens = tokens + block.norm2(block.mlp(tokens))
    found = encoder.features(x, (1,))[0].flatten(2).transpose(1, 2)
    torch.testing.assert_close(found, tokens, **TOLERANCE)
