import pytest
import torch

from densevlm_mm.models.encoders import DenseImageEncoder

FAMILIES = ["vit", "vit_avg", "eva02", "eva01", "timm_vit", "timm_gap", "siglip", "resnet", "convnext"]
# Names, within the last block, of what the dense path never reads.
UNUSED = {
    "vit": {"attn.in_proj_weight_q", "attn.in_proj_weight_k", "attn.in_proj_bias_q", "attn.in_proj_bias_k"},
    "eva02": {"attn.q_proj.weight", "attn.q_proj.bias", "attn.k_proj.weight"},
    "eva01": {"attn.qkv.weight_q", "attn.qkv.weight_k", "attn.q_bias"},
    "timm_vit": {"attn.qkv.weight_q", "attn.qkv.weight_k", "attn.qkv.bias_q", "attn.qkv.bias_k"},
}
BLOCKS = {"vit": "visual.transformer.resblocks", "eva02": "visual.trunk.blocks", "eva01": "visual.trunk.blocks"}
BLOCKS["timm_vit"] = "visual.trunk.blocks"


def names(encoder, trainable):
    return {name for name, parameter in encoder.named_parameters() if parameter.requires_grad == trainable}


@pytest.mark.parametrize("family", FAMILIES)
def test_none_freezes_everything_and_records_nothing(stock_model, images, family):
    encoder = DenseImageEncoder(clip_model=stock_model(family), trainable="none")
    assert names(encoder, True) == set()
    x = images(64, 64).requires_grad_()
    features, dense = encoder.features_and_dense(x, (0,))
    assert not any(t.requires_grad for t in (encoder(x), encoder.dense(x), dense, *features))


@pytest.mark.parametrize("family", ["vit", "eva02", "eva01", "timm_vit"])
def test_blocks_trains_the_blocks_but_the_last_query_and_key(stock_model, family):
    encoder = DenseImageEncoder(clip_model=stock_model(family), trainable="blocks")
    prefix = BLOCKS[family] + "."
    in_blocks = {name for name, _ in encoder.named_parameters() if name.startswith(prefix)}
    unused = {f"{prefix}1.{name}" for name in UNUSED[family]}
    assert unused <= in_blocks
    assert names(encoder, True) == in_blocks - unused


@pytest.mark.parametrize("family", ["vit", "eva02", "eva01", "timm_vit"])
def test_all_trains_everything_that_is_read(stock_model, family):
    encoder = DenseImageEncoder(clip_model=stock_model(family), trainable="all")
    assert names(encoder, False) == {f"{BLOCKS[family]}.1.{name}" for name in UNUSED[family]}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("trainable", ["blocks", "all"])
def test_exactly_the_trainable_parameters_get_a_gradient(stock_model, images, family, trainable):
    encoder = DenseImageEncoder(clip_model=stock_model(family), trainable=trainable)
    direction = torch.randn(encoder.embed_dim, generator=torch.Generator().manual_seed(0))
    (encoder.dense(images(64, 96)) * direction[:, None, None]).sum().backward()
    gradients = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    assert gradients == names(encoder, True)
    # A gradient that is zero by construction would mean that the parameter is not read after all.
    assert all(p.grad.abs().max() > 0 for name, p in encoder.named_parameters() if name in gradients)


QUERY_VALUE = {
    "vit": ("attn.in_proj_weight_q", "attn.in_proj_weight_v"),
    "vit_avg": ("attn.in_proj_weight_q", "attn.in_proj_weight_v"),
    "eva02": ("attn.q_proj.weight", "attn.v_proj.weight"),
    "eva01": ("attn.qkv.weight_q", "attn.qkv.weight_v"),
    "timm_vit": ("attn.qkv.weight_q", "attn.qkv.weight_v"),
    "timm_gap": ("attn.qkv.weight_q", "attn.qkv.weight_v"),
}


@pytest.mark.parametrize("family", QUERY_VALUE)
def test_query_value_trains_these_weights_but_the_last_query(stock_model, images, family):
    model = stock_model(family)
    stored = {name: value.clone() for name, value in model.visual.state_dict().items()}
    encoder = DenseImageEncoder(clip_model=model, trainable="query_value")
    query, value = QUERY_VALUE[family]
    prefix = "visual.transformer.resblocks" if family.startswith("vit") else "visual.trunk.blocks"
    trained = {f"{prefix}.0.{query}", f"{prefix}.0.{value}", f"{prefix}.1.{value}"}
    assert names(encoder, True) == trained
    features, dense = encoder.features_and_dense(images(64, 96), (0,), normalize=False)
    (features[0].square().mean() + dense.square().mean()).backward()
    assert {name for name, p in encoder.named_parameters() if p.grad is not None and p.grad.abs().max() > 0} == trained
    assert all(torch.equal(value, stored[name]) for name, value in encoder.visual.state_dict().items())


@pytest.mark.parametrize("family", ["resnet", "convnext"])
def test_query_value_needs_attention_blocks(stock_model, family):
    with pytest.raises(ValueError, match="use trainable='blocks'"):
        DenseImageEncoder(clip_model=stock_model(family), trainable="query_value")


def test_resnet_trains_stages_without_batch_norms(stock_model):
    encoder = DenseImageEncoder(clip_model=stock_model("resnet"), trainable="blocks", unlocked_groups=1)
    expected = {"conv1.weight", "conv2.weight", "conv3.weight", "downsample.0.weight"}
    assert names(encoder, True) == {f"visual.layer4.0.{name}" for name in expected}


def test_resnet_all_leaves_out_the_pools_query_and_key(stock_model):
    encoder = DenseImageEncoder(clip_model=stock_model("resnet"), trainable="all")
    expected = {f"visual.attnpool.{n}_proj.{p}" for n in "qk" for p in ("weight", "bias")}
    assert names(encoder, False) == expected


def test_convnext_trains_stages(stock_model):
    encoder = DenseImageEncoder(clip_model=stock_model("convnext"), trainable="blocks")
    trainable = names(encoder, True)
    assert trainable == {n for n, _ in encoder.named_parameters() if n.startswith("visual.trunk.stages.")}


def test_unlocked_groups_counts_from_the_end(stock_model):
    encoder = DenseImageEncoder(clip_model=stock_model("eva02"), trainable="blocks", unlocked_groups=1)
    assert all(name.startswith("visual.trunk.blocks.1.") for name in names(encoder, True))
    assert "visual.trunk.blocks.1.attn.v_proj.weight" in names(encoder, True)


@pytest.mark.parametrize("trainable", ["blocks", "all"])
@pytest.mark.parametrize("family", ["vit", "eva01", "timm_vit", "siglip"])
def test_splitting_keeps_outputs_and_stored_layout(stock_model, images, family, trainable):
    stock = stock_model(family)
    expected = {f"visual.{key}": value for key, value in stock.visual.state_dict().items()}
    frozen = DenseImageEncoder(clip_model=stock_model(family))
    encoder = DenseImageEncoder(clip_model=stock, trainable=trainable)
    assert encoder.state_dict().keys() == expected.keys()
    assert all(torch.equal(encoder.state_dict()[key], value) for key, value in expected.items())
    torch.testing.assert_close(encoder(images(32, 32)), frozen(images(32, 32)), atol=5e-6, rtol=1e-5)
    # Not bit by bit: torch computes the first block's attention by another kernel when nothing is recorded.
    torch.testing.assert_close(encoder.dense(images(32, 32)), frozen.dense(images(32, 32)), atol=2e-6, rtol=0)


def test_weight_decay_leaves_the_last_query_and_key_alone(stock_model, images):
    encoder = DenseImageEncoder(clip_model=stock_model("vit"), trainable="blocks")
    key = "visual.transformer.resblocks.1.attn.in_proj_weight"
    before = encoder.state_dict()[key]
    optimizer = torch.optim.AdamW([p for p in encoder.parameters() if p.requires_grad], lr=0.1, weight_decay=0.5)
    encoder.dense(images(32, 32))[:, 0].sum().backward()
    optimizer.step()
    after = encoder.state_dict()[key]
    assert torch.equal(after[:64], before[:64])
    assert not torch.equal(after[64:], before[64:])


@pytest.mark.parametrize("mode", ["none", "blocks"])
@pytest.mark.parametrize("family", ["resnet", "tiny"])
def test_frozen_batch_norms_keep_their_statistics(stock_model, images, family, mode):
    source = (
        {"model_name": "TinyScenes-S", "checkpoint": "random"}
        if family == "tiny"
        else {"clip_model": stock_model(family)}
    )
    encoder = DenseImageEncoder(**source, trainable=mode).train()
    before = {k: v.clone() for k, v in encoder.state_dict().items() if "running" in k or "num_batches" in k}
    encoder.dense(images(64, 64))
    encoder(images(64, 64))
    assert before
    assert all(torch.equal(encoder.state_dict()[key], value) for key, value in before.items())


def test_batch_norms_that_train_collect_statistics_in_training_only(stock_model, images):
    encoder = DenseImageEncoder(clip_model=stock_model("resnet"), trainable="all")
    before = encoder.state_dict()["visual.bn1.running_mean"].clone()
    encoder.eval().dense(images(64, 64))
    assert torch.equal(encoder.state_dict()["visual.bn1.running_mean"], before)
    encoder.train().dense(images(64, 64))
    assert not torch.equal(encoder.state_dict()["visual.bn1.running_mean"], before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trainable": "some"}, "'some'"),
        ({"trainable": "blocks", "unlocked_groups": 3}, r"1\.\.2, got 3"),
        ({"trainable": "blocks", "unlocked_groups": 0}, r"1\.\.2, got 0"),
        ({"trainable": "all", "unlocked_groups": 1}, "needs trainable='blocks'"),
    ],
)
def test_impossible_settings_are_refused(stock_model, settings, message):
    with pytest.raises(ValueError, match=message):
        DenseImageEncoder(clip_model=stock_model("vit"), **settings)


def test_the_pools_positions_train_when_asked_for(stock_model, images):
    """As in the published program; the pool's projections stay frozen in both."""
    frozen = DenseImageEncoder(clip_model=stock_model("resnet"), trainable="blocks")
    encoder = DenseImageEncoder(clip_model=stock_model("resnet"), trainable="blocks", train_pool_positions=True)
    name = "visual.attnpool.positional_embedding"
    assert names(encoder, True) - names(frozen, True) == {name}
    encoder.dense(images(96, 64)).square().sum().backward()  # at a size that they are resized to
    gradient = dict(encoder.named_parameters())[name].grad
    assert gradient[1:].abs().sum() > 0
    assert not gradient[0].any()  # of the class token, which the dense path drops


@pytest.mark.parametrize(("family", "trainable"), [("vit", "blocks"), ("convnext", "blocks"), ("resnet", "all")])
def test_pool_positions_of_other_towers_and_modes_are_refused(stock_model, family, trainable):
    with pytest.raises(ValueError, match="train_pool_positions=True"):
        DenseImageEncoder(clip_model=stock_model(family), trainable=trainable, train_pool_positions=True)
