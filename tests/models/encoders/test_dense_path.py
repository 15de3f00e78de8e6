"""The value dense path: the sum of the last blocks' attention branches, each without attention."""

import copy

import pytest
import torch
from open_clip import CustomTextCLIP
from torch.nn.functional import linear, normalize

from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.encoders.dense_path import DensePath
from tests.fixtures.stock_clips import model_config, randomise

FAMILIES = ["vit", "vit_avg", "eva02", "eva01", "eva_post", "timm_vit", "timm_gap"]
LATE = ("resblocks.1", "blocks.1")


def values_path(layers: int, gate: bool = False) -> dict:
    return dict(type="values", layers=layers, gate=gate)


@pytest.fixture
def model(stock_model):
    def build(family: str) -> torch.nn.Module:
        if family != "eva_post":
            return stock_model(family)
        config = model_config("eva02")
        config["vision_cfg"]["timm_model_name"] = "encoder_test_eva_post"
        config.pop("custom_text")
        return randomise(CustomTextCLIP(**config))

    return build


def gated(encoder: DenseImageEncoder) -> DenseImageEncoder:
    """The encoder with a random gate."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in encoder.value_gate.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return encoder


def block_inputs(model, blocks, images):
    """What enters each block of a stock open_clip model."""
    inputs = []
    hooks = [block.register_forward_pre_hook(lambda _, args: inputs.append(args[0])) for block in blocks]
    with torch.no_grad():
        model.encode_image(images)
    for hook in hooks:
        hook.remove()
    return inputs


def reference(model, family, images, layers, gate=None):
    """X and the dense map (B, N, D), by open_clip's and timm's own modules."""
    visual, openai = model.visual, family.startswith("vit")
    blocks = visual.transformer.resblocks if openai else visual.trunk.blocks
    total = 0
    for block, tokens in list(zip(blocks, block_inputs(model, blocks, images), strict=True))[-layers:]:
        x = tokens[:, 0 if family == "timm_gap" else 1 :]
        y = block.ln_1(x) if openai else (x if family == "eva_post" else block.norm1(x))
        attn = block.attn
        if family == "eva02":
            values = attn.v_proj(y)
        elif family.startswith("eva"):
            values = linear(y, attn.qkv.weight[-32:], attn.v_bias)
        else:
            weight, bias = (attn.in_proj_weight, attn.in_proj_bias) if openai else (attn.qkv.weight, attn.qkv.bias)
            values = linear(y, weight[-32:], bias[-32:])
        if gate is not None:  # two heads of 16
            values = values * (2 * torch.sigmoid(gate(y))).repeat_interleave(16, dim=-1)
        if openai:
            branch = block.ls_1(attn.out_proj(values))
        elif family == "eva_post":
            branch = block.norm1(attn.proj(values))
        else:
            branch = attn.proj(attn.norm(values))
            branch = block.ls1(branch) if family.startswith("timm") else branch
        total = total + branch
    if openai:
        return total, normalize(visual.ln_post(total) @ visual.proj, dim=-1)
    trunk = visual.trunk
    return total, normalize(visual.head(trunk.head(trunk.fc_norm(trunk.norm(total)))), dim=-1)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("layers", "gate"), [(1, False), (2, False), (2, True)])
def test_dense_map_is_the_projected_sum_of_the_last_values(model, images, family, layers, gate):
    stock, x = model(family), images(32, 32)
    encoder = DenseImageEncoder(clip_model=copy.deepcopy(stock), dense_path=values_path(layers, gate))
    encoder = gated(encoder) if gate else encoder
    with torch.no_grad():
        total, dense = reference(stock, family, x, layers, encoder.value_gate)
    features, found = encoder.features_and_dense(x, (0, 1))
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), dense, atol=3e-6, rtol=0)
    torch.testing.assert_close(features[1].flatten(2).transpose(1, 2), total, atol=5e-6, rtol=1e-5)
    residual = DenseImageEncoder(clip_model=copy.deepcopy(stock))
    assert torch.equal(features[0], residual.features(x, (0,))[0])  # blocks before the last run as ever
    assert torch.equal(encoder(x), residual(x))
    assert not torch.allclose(found, residual.dense(x), atol=1e-2)


@pytest.mark.parametrize("family", ["vit", "eva02", "timm_vit"])
def test_a_new_gate_changes_no_bit(stock_model, images, family):
    plain, with_gate = (
        DenseImageEncoder(clip_model=stock_model(family), dense_path=values_path(2, gate)) for gate in (False, True)
    )
    x = images(64, 40)
    assert torch.equal(with_gate.dense(x), plain.dense(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(with_gate.dense(x), plain.dense(x))
    assert not torch.allclose(gated(with_gate).dense(x), plain.dense(x), atol=1e-3)
    assert torch.equal(with_gate(x), plain(x))


@pytest.mark.parametrize("family", ["vit", "vit_avg", "eva02", "eva01", "eva_post", "timm_vit", "timm_gap"])
@pytest.mark.parametrize("layers", [1, 2])
def test_what_the_path_never_reads_is_frozen_and_all_else_learns(model, images, family, layers):
    encoder = gated(
        DenseImageEncoder(clip_model=model(family), dense_path=values_path(layers, True), trainable="blocks")
    )
    encoder.dense(images(40, 32)).square().cumsum(1).sum().backward()
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    learning = {name for name, p in encoder.named_parameters() if p.grad is not None and p.grad.any()}
    assert learning == trained
    late = {name.split(".1.", 1)[1] for name in trained if any(part in name for part in LATE)}
    assert not [name for name in late if name.startswith(("mlp", "ln_2", "ls_2", "norm2", "ls2", "gamma_2"))]
    assert {"value_gate.weight", "value_gate.bias"} <= trained
    early = DenseImageEncoder(clip_model=model(family), trainable="blocks")
    read_before = {name for name, p in early.named_parameters() if p.requires_grad}
    assert {name for name in read_before if not any(part in name for part in LATE)} <= trained  # the MLP of block 0


def test_with_a_term_on_global_embeddings_the_same_stays_frozen(stock_model, images):
    """Retention reads the last block's query, key and MLP: they stay those that the text was trained with."""
    encoder = DenseImageEncoder(clip_model=stock_model("vit"), dense_path=values_path(2), trainable="blocks")
    (encoder.dense(images(32, 32)).square().cumsum(1).sum() + encoder(images(32, 32)).square().sum()).backward()
    last = dict(encoder.blocks[-1].named_parameters())
    frozen = {name for name, p in last.items() if p.grad is None}
    assert {name.split(".")[0] for name in frozen} == {"attn", "ln_2", "mlp"}
    assert {name for name in frozen if name.startswith("attn")} == {
        f"attn.in_proj_{kind}_{part}" for kind in ("weight", "bias") for part in "qk"
    }


@pytest.mark.parametrize(
    ("trainable", "learns"), [("none", False), ("query_value", False), ("blocks", True), ("all", True)]
)
def test_the_gate_trains_with_the_blocks(stock_model, trainable, learns):
    encoder = DenseImageEncoder(
        clip_model=stock_model("timm_gap"), dense_path=values_path(1, True), trainable=trainable
    )
    assert {p.requires_grad for p in encoder.value_gate.parameters()} == {learns}


def test_the_gate_learns_beside_blocks_that_do_not(stock_model, images):
    encoder = DenseImageEncoder(
        clip_model=stock_model("vit"), dense_path=values_path(2, True), trainable="blocks", unlocked_groups=1
    )
    encoder.dense(images(32, 32)).square().cumsum(1).sum().backward()
    assert encoder.value_gate.weight.grad.any()


def test_the_last_attention_and_mlp_are_never_computed(stock_model, images):
    encoder = DenseImageEncoder(clip_model=stock_model("eva02"), dense_path=values_path(2))
    calls = []
    for index, block in enumerate(encoder.blocks):
        for name, part in (("block", block), ("mlp", block.mlp)):
            part.register_forward_pre_hook(lambda *_, call=(index, name): calls.append(call))
    encoder.dense(images(32, 32))
    assert calls == [(0, "block"), (0, "mlp")]


@pytest.mark.parametrize("family", ["vit", "eva02", "timm_vit"])
def test_compiled_and_recomputed_values_are_the_same(stock_model, images, family):
    torch.compiler.reset()
    encoders = []
    for change in ("", "compile", "checkpoint"):
        encoder = DenseImageEncoder(
            clip_model=stock_model(family),
            dense_path=values_path(2, True),
            trainable="blocks",
            grad_checkpointing=change == "checkpoint",
        )
        encoders.append(gated(encoder))
        if change == "compile":
            encoder.compile_blocks(backend="eager", fullgraph=True)
        encoder.dense(images(64, 64)).square().cumsum(1).sum().backward()
    plain, *others = [{name: p.grad for name, p in e.named_parameters() if p.grad is not None} for e in encoders]
    for gradients in others:
        assert gradients.keys() == plain.keys()
        for name, gradient in plain.items():
            torch.testing.assert_close(gradients[name], gradient, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        ("resnet", dict(dense_path=values_path(1)), "is no transformer: use dense_path='residual'"),
        ("convnext", dict(dense_path=values_path(1)), "is no transformer"),
        ("siglip", dict(dense_path=values_path(1)), "pools by attention"),
        ("vit", dict(dense_path=values_path(3)), r"layers must be in 1\.\.2, .* got 3"),
        ("vit", dict(dense_path=values_path(0)), "at least one layer"),
        ("vit", dict(dense_path=values_path(True)), "at least one layer"),
        ("vit", dict(dense_path=values_path(1), dense_residual="cls"), "use one of the two"),
        ("vit", dict(dense_path="values"), "must be 'residual' or dict"),
        ("vit", dict(dense_path=dict(type="values", layer=1)), "must be 'residual' or dict.*'layer': 1"),
        ("vit", dict(dense_path=dict(type="values", layers=1, gate=1)), "must be 'residual' or dict"),
    ],
)
def test_paths_that_cannot_be_are_refused(stock_model, family, settings, message):
    with pytest.raises(ValueError, match=message):
        DenseImageEncoder(clip_model=stock_model(family), **settings)


def test_a_path_is_written_as_it_is_read():
    assert DensePath.parse("residual").config == DensePath.parse(dict(type="residual")).config == "residual"
    assert DensePath.parse(dict(type="values")).config == dict(type="values", layers=3, gate=False)
    assert DensePath.resolve(None, None, "file") == DensePath.resolve("residual", "residual", "file") == DensePath()
    with pytest.raises(ValueError, match=r"'file' was trained with dense_path=residual, got dense_path=.*leave it out"):
        DensePath.resolve(values_path(1), "residual", "file")
