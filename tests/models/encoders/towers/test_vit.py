import pytest
import torch
from open_clip import CLIP
from torch.nn.functional import interpolate, layer_norm, linear, normalize

from densevlm_mm.models.encoders import DenseImageEncoder


def attend(weights, prefix, x, heads):
    """Plain softmax attention from the stored tensors."""
    q, k, v = linear(x, weights[prefix + "in_proj_weight"], weights[prefix + "in_proj_bias"]).chunk(3, -1)
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
    mixed = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1) @ v
    return linear(
        mixed.transpose(1, 2).flatten(2), weights[prefix + "out_proj.weight"], weights[prefix + "out_proj.bias"]
    )


def reference(weights, images, pos_grid=4, patch=8, heads=2, residual="token"):
    """The dense path of specs and paper, written out from the checkpoint's tensors."""
    w = {k.removeprefix("visual."): v for k, v in weights.items() if k.startswith("visual.")}

    def ln(name, x):
        return layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"])

    def mlp(prefix, x):
        hidden = linear(ln(prefix + "ln_2", x), w[prefix + "mlp.c_fc.weight"], w[prefix + "mlp.c_fc.bias"])
        return linear(
            hidden * torch.sigmoid(1.702 * hidden), w[prefix + "mlp.c_proj.weight"], w[prefix + "mlp.c_proj.bias"]
        )

    x = torch.nn.functional.conv2d(images, w["conv1.weight"], stride=patch)
    h, width = x.shape[-2:]
    x = x.flatten(2).transpose(1, 2)
    pos = w["positional_embedding"][1:].reshape(1, pos_grid, pos_grid, -1).permute(0, 3, 1, 2)
    pos = interpolate(pos, (h, width), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    cls = (w["class_embedding"] + w["positional_embedding"][0]).expand(len(x), 1, -1)
    x = ln("ln_pre", torch.cat([cls, x + pos], 1))
    first = "transformer.resblocks.0."
    x = x + attend(w, first + "attn.", ln(first + "ln_1", x), heads)
    x = x + mlp(first, x)
    block_0 = x[:, 1:]
    last = "transformer.resblocks.1."
    full = x + attend(w, last + "attn.", ln(last + "ln_1", x), heads)
    full = full + mlp(last, full)
    v_weight, v_bias = w[last + "attn.in_proj_weight"][64:], w[last + "attn.in_proj_bias"][64:]
    value = linear(
        linear(ln(last + "ln_1", x), v_weight, v_bias), w[last + "attn.out_proj.weight"], w[last + "attn.out_proj.bias"]
    )
    x = (x if residual == "token" else x[:, :1]) + value
    x = x + mlp(last, x)
    as_map = lambda t: t.transpose(1, 2).unflatten(2, (h, width))  # noqa: E731
    dense = normalize(ln("ln_post", x[:, 1:]) @ w["proj"], dim=-1)
    return ln("ln_post", full[:, 0]) @ w["proj"], as_map(block_0), as_map(x[:, 1:]), as_map(dense)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 64), (24, 56), (8, 40), (45, 71)])
def test_matches_the_written_out_path_at_any_size(stock_model, images, height, width):
    model = stock_model("vit")
    x = images(height, width)
    encoder = DenseImageEncoder(clip_model=model)
    pooled, block_0, block_1, dense = reference(model.state_dict(), x)
    features, found = encoder.features_and_dense(x, (1, 0))
    torch.testing.assert_close(encoder(x), pooled, atol=5e-6, rtol=1e-5)
    torch.testing.assert_close(found, dense, atol=2e-6, rtol=0)
    torch.testing.assert_close(features[0], block_1, atol=5e-6, rtol=1e-5)
    torch.testing.assert_close(features[1], block_0, atol=5e-6, rtol=1e-5)


def test_cls_residual_adds_the_class_token_of_the_block_input(stock_model, images):
    model = stock_model("vit")
    x = images(40, 32)
    encoder = DenseImageEncoder(clip_model=model, dense_residual="cls")
    _, _, block_1, dense = reference(model.state_dict(), x, residual="cls")
    torch.testing.assert_close(encoder.dense(x), dense, atol=2e-6, rtol=0)
    torch.testing.assert_close(encoder.features(x, (-1,))[0], block_1, atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize("family", ["vit", "vit_avg"])
def test_global_embedding_is_open_clips_at_native_size(stock_model, images, family):
    model = stock_model(family)
    x = images(32, 32)
    with torch.no_grad():
        expected = model.encode_image(x)
    torch.testing.assert_close(DenseImageEncoder(clip_model=model)(x), expected, atol=2e-6, rtol=1e-6)


def test_layer_scale_is_part_of_the_dense_path(stock_model, images):
    model = stock_model("vit_avg")
    encoder = DenseImageEncoder(clip_model=model)
    before = encoder.dense(images(32, 32))
    with torch.no_grad():
        model.visual.transformer.resblocks[-1].ls_1.gamma.zero_()
        block, tokens = model.visual.transformer.resblocks[-1], encoder.features(images(32, 32), (0,))[0]
        tokens = tokens.flatten(2).transpose(1, 2)
        tokens = tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
        expected = normalize(model.visual.ln_post(tokens) @ model.visual.proj, dim=-1)
    found = encoder.dense(images(32, 32)).flatten(2).transpose(1, 2)
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)
    assert not torch.allclose(before.flatten(2).transpose(1, 2), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attentional_pool": True}, "attentional pooling"),
        ({"block_type": "custom"}, "CustomResidualAttentionBlock"),
        ({"patch_size": (8, 16)}, "square"),
    ],
)
def test_towers_without_a_dense_path_are_refused(stock_config, change, message):
    config = stock_config("vit")
    config["vision_cfg"].update(change)
    with pytest.raises(ValueError, match=message):
        DenseImageEncoder(clip_model=CLIP(**config))
