import pytest
import torch
from timm.layers import RotaryEmbeddingCat, apply_rot_embed_cat
from timm.models.eva import EvaAttention

from densevlm_mm.models.encoders.towers.rotary import RotaryAttention, RotaryTables, rotate


@pytest.fixture
def rope():
    return RotaryEmbeddingCat(8, in_pixels=False, feat_shape=None, ref_feat_shape=(4, 4))


@pytest.fixture
def queries():
    return torch.randn(2, 3, 1 + 5 * 2, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rotation_is_timms_and_leaves_the_class_token(rope, queries, dtype):
    queries = queries.to(dtype)
    expected = apply_rot_embed_cat(queries[:, :, 1:], rope.get_embed([5, 2])).to(dtype)
    found = rotate(queries, RotaryTables(rope, 1).for_grid((5, 2), torch.device("cpu")))
    assert found.dtype == dtype
    torch.testing.assert_close(found[:, :, 1:], expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(found[:, :, 0], queries[:, :, 0])


def test_gradient_is_timms(rope, queries):
    table, weight = RotaryTables(rope, 1).for_grid((5, 2), torch.device("cpu")), torch.linspace(0, 1, 8)
    ours, theirs = (queries.clone().requires_grad_() for _ in range(2))
    (rotate(ours, table) * weight).sum().backward()
    rotated = apply_rot_embed_cat(theirs[:, :, 1:], rope.get_embed([5, 2]))
    (torch.cat([theirs[:, :, :1], rotated], dim=2) * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-6)


def test_traced_rotation_has_no_complex_numbers_and_the_same_values(rope, queries):
    table = RotaryTables(rope, 1).for_grid((5, 2), torch.device("cpu"))

    class Rotation(torch.nn.Module):
        def forward(self, x):
            return rotate(x, table)

    program = torch.export.export(Rotation(), (queries,))
    assert "complex" not in str(program.graph)
    torch.testing.assert_close(program.module()(queries), rotate(queries, table), rtol=1e-6, atol=1e-6)


def test_rotation_by_halves_is_refused(rope):
    rope.rotate_half = True
    with pytest.raises(ValueError, match="RotaryEmbeddingCat is not supported"):
        RotaryTables(rope, 1)


@pytest.mark.parametrize("options", [{"qkv_fused": False}, {"gated": True, "qk_norm": True}, {"qkv_bias": False}])
def test_attention_with_our_table_is_timms_with_its_own(rope, options):
    torch.manual_seed(0)
    attention = EvaAttention(32, num_heads=4, norm_layer=torch.nn.LayerNorm, **options).eval()
    x = torch.randn(2, 11, 32)
    expected = attention(x, rope=rope.get_embed([5, 2]))
    attention.__class__ = RotaryAttention
    found = attention(x, rope=RotaryTables(rope, 1).for_grid((5, 2), torch.device("cpu")))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(attention(x, rope=rope.get_embed([5, 2])), expected)
