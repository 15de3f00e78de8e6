import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from torch import nn
from torchvision.transforms import Normalize

from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.registry import MODELS

FAMILIES = ["vit", "eva02", "eva01", "timm_vit", "timm_gap", "siglip", "resnet", "convnext"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (70, 101)])
def test_shapes_norms_and_one_pass(stock_model, images, family, height, width):
    encoder = DenseImageEncoder(clip_model=stock_model(family))
    x, last = images(height, width), encoder.num_blocks - 1
    dense = encoder.dense(x)
    assert dense.shape == (2, encoder.embed_dim, height // encoder.stride, width // encoder.stride)
    torch.testing.assert_close(dense.norm(dim=1), torch.ones_like(dense[:, 0]))
    features = encoder.features(x, (-1, 0))
    assert features[0].shape == (2, encoder.width, *dense.shape[-2:])
    together, dense_too = encoder.features_and_dense(x, (last, 0))
    assert torch.equal(dense_too, dense)
    assert all(torch.equal(a, b) for a, b in zip(together, features, strict=True))
    assert encoder(x).shape == (2, encoder.embed_dim)


@pytest.mark.parametrize("family", FAMILIES)
def test_dense_map_before_its_normalisation(stock_model, images, family):
    encoder, x = DenseImageEncoder(clip_model=stock_model(family)), images(64, 96)
    features, raw = encoder.features_and_dense(x, (0,), normalize=False)
    normal_features, dense = encoder.features_and_dense(x, (0,))
    assert torch.equal(features[0], normal_features[0])
    norms = raw.norm(dim=1, keepdim=True)
    assert (norms - 1).abs().max() > 0.01
    torch.testing.assert_close(raw / norms, dense)
    assert dense.permute(0, 2, 3, 1).is_contiguous()


@pytest.mark.parametrize("family", ["vit", "eva02", "timm_vit", "resnet", "convnext"])
def test_one_call_runs_each_block_once_and_the_last_attention_never(stock_model, images, family):
    encoder = DenseImageEncoder(clip_model=stock_model(family))
    calls = []
    groups = encoder._tower.groups()
    for index, block in enumerate(groups):
        block.register_forward_pre_hook(lambda *_, index=index: calls.append(index))
    encoder.features_and_dense(images(64, 64), (0, 1))
    attention_free = family in ("resnet", "convnext")
    assert calls == list(range(len(groups) if attention_free else len(groups) - 1))
    calls.clear()
    encoder.features(images(64, 64), (0,))
    assert calls == [0]


@pytest.mark.parametrize("family", FAMILIES)
def test_images_of_a_batch_do_not_mix(stock_model, images, family):
    encoder = DenseImageEncoder(clip_model=stock_model(family))
    x = images(64, 64)
    torch.testing.assert_close(encoder.dense(x)[1:], encoder.dense(x[1:]), atol=2e-6, rtol=0)


@pytest.mark.parametrize("family", ["vit", "eva02", "timm_vit", "resnet", "convnext"])
def test_bfloat16_autocast_gives_float32_unit_norm(stock_model, images, family):
    encoder = DenseImageEncoder(clip_model=stock_model(family))
    x = images(64, 96)
    expected = encoder.dense(x)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        dense, pooled = encoder.dense(x), encoder(x)
    assert dense.dtype == torch.float32
    torch.testing.assert_close(dense.norm(dim=1), torch.ones_like(dense[:, 0]))
    assert torch.cosine_similarity(dense, expected, dim=1).min() > 0.99
    assert torch.cosine_similarity(pooled.float(), encoder(x), dim=1).min() > 0.99


@pytest.mark.parametrize("family", FAMILIES)
def test_towers_in_bfloat16_take_any_size(stock_model, images, family):
    expected = DenseImageEncoder(clip_model=stock_model(family)).dense(images(64, 96))
    dense = DenseImageEncoder(clip_model=stock_model(family)).bfloat16().dense(images(64, 96).bfloat16())
    assert dense.dtype == torch.float32
    assert torch.cosine_similarity(dense, expected, dim=1).min() > 0.97


@pytest.mark.parametrize("family", ["vit", "eva02", "timm_vit", "resnet", "convnext"])
def test_grad_checkpointing_changes_no_gradient(stock_model, images, family):
    gradients = []
    for grad_checkpointing in (False, True):
        model = stock_model(family)
        encoder = DenseImageEncoder(clip_model=model, trainable="blocks", grad_checkpointing=grad_checkpointing).train()
        encoder.dense(images(64, 64))[:, 0].sum().backward()
        gradients.append({n: p.grad for n, p in encoder.named_parameters() if p.grad is not None})
    plain, recomputed = gradients
    assert plain.keys() == recomputed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(recomputed[name], gradient)


@pytest.mark.parametrize(("height", "width", "said"), [(7, 32, "7x32"), (32, 5, "32x5")])
def test_images_smaller_than_a_patch_are_refused(stock_model, height, width, said):
    encoder = DenseImageEncoder(clip_model=stock_model("eva02"))
    x = torch.zeros(1, 3, height, width)
    for call in (
        encoder,
        encoder.dense,
        lambda x: encoder.features(x, (0,)),
        lambda x: encoder.features_and_dense(x, (0,)),
    ):
        with pytest.raises(ValueError, match=f"{said} px .* smaller than one 8 px patch"):
            call(x)


@pytest.mark.parametrize("out_indices", [(2,), (-3,), ()])
def test_blocks_that_do_not_exist_are_refused(stock_model, images, out_indices):
    encoder = DenseImageEncoder(clip_model=stock_model("vit"))
    with pytest.raises(ValueError, match=r"blocks 0\.\.1"):
        encoder.features(images(32, 32), out_indices)


def test_an_unbatched_image_is_refused(stock_model):
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        DenseImageEncoder(clip_model=stock_model("vit")).dense(torch.zeros(3, 32, 32))


def test_attributes(stock_config):
    config = stock_config("vit")
    encoder = DenseImageEncoder(config, "random")
    assert (encoder.embed_dim, encoder.width, encoder.stride, encoder.num_blocks, encoder.image_size) == (
        16,
        32,
        8,
        2,
        32,
    )
    assert encoder.model_name == "custom"
    assert encoder.model_cfg == config
    assert encoder.mean == (0.48145466, 0.4578275, 0.40821073)
    assert DenseImageEncoder(config, "random", image_size=(64, 48)).image_size == (64, 48)
    assert DenseImageEncoder(config, "random", image_size=(64, 64)).image_size == 64
    assert DenseImageEncoder(config, "random", image_size=(64, 48)).native_size == (32, 32)


def test_only_the_image_tower_is_held_in_open_clips_layout(stock_model):
    model = stock_model("vit")
    encoder = DenseImageEncoder(clip_model=model)
    assert encoder.state_dict().keys() == {k for k in model.state_dict() if k.startswith("visual.")}


def test_built_from_a_config_and_never_initialised_anew(stock_config):
    settings = {"type": "DenseImageEncoder", "model_name": stock_config("eva02"), "checkpoint": "random"}
    encoder = MODELS.build(ConfigDict(settings))

    class Model(BaseModule):
        def __init__(self):
            super().__init__()
            self.encoder = encoder

    before = copy.deepcopy(encoder.state_dict())
    Model().init_weights()
    assert all(torch.equal(encoder.state_dict()[key], value) for key, value in before.items())


def test_copies_are_independent(stock_model, images):
    encoder = DenseImageEncoder(clip_model=stock_model("eva02"))
    before = encoder.dense(images(64, 64))
    twin = copy.deepcopy(encoder)
    nn.init.normal_(twin.visual.trunk.pos_embed)
    nn.init.normal_(twin.visual.trunk.blocks[0].mlp.fc2.weight)
    assert torch.equal(encoder.dense(images(64, 64)), before)
    assert not torch.allclose(twin.dense(images(64, 64)), before, atol=1e-2)


def test_loading_new_weights_is_seen_at_every_size(stock_model, images):
    encoder, other = (DenseImageEncoder(clip_model=stock_model("vit", seed)) for seed in (0, 1))
    encoder.dense(images(64, 40))
    encoder.load_state_dict(other.state_dict())
    assert torch.equal(encoder.dense(images(64, 40)), other.dense(images(64, 40)))


def test_the_tower_never_drops_anything(stock_config, images):
    config = stock_config("vit")
    config["vision_cfg"]["patch_dropout"] = 0.5
    encoder = DenseImageEncoder(config, "random", trainable="blocks").train()
    assert encoder.training
    assert torch.equal(encoder.dense(images(32, 32)), encoder.dense(images(32, 32)))


def test_gradients_only_flow_where_they_are_wanted(stock_model, images):
    encoder = DenseImageEncoder(clip_model=stock_model("vit"), trainable="blocks")
    assert encoder.dense(images(32, 32)).requires_grad
    with torch.no_grad():
        assert not encoder.dense(images(32, 32)).requires_grad


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_name": "ViT-B-16"}, "'random' asks for random weights"),
        ({"model_name": "ViT-B-61", "checkpoint": "random"}, "similar names: .*ViT-B-16"),
        ({"model_name": "TinyScenes-S", "checkpoint": "random", "dense_residual": "sum"}, "'sum'"),
        ({"model_name": "TinyScenes-S", "checkpoint": "random", "dense_residual": "cls"}, "needs a class token"),
        ({"model_name": "TinyScenes-S", "checkpoint": "random", "image_size": 4}, "smaller than one 8 px patch"),
        ({"model_name": "TinyScenes-S", "checkpoint": "random", "init_cfg": {"type": "Pretrained"}}, "init_cfg"),
        ({"model_name": {"embed_dim": 8}, "checkpoint": "random"}, "vision_cfg"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        DenseImageEncoder(**settings)


def test_a_model_and_a_checkpoint_are_too_much(stock_model):
    with pytest.raises(ValueError, match="not both"):
        DenseImageEncoder(clip_model=stock_model("vit"), checkpoint="random")


def test_normalize_is_open_clips_preprocessing(stock_model):
    """The reference is torchvision's, on the 0-1 scale that open_clip works on."""
    model = stock_model("siglip")
    model.visual.image_mean, model.visual.image_std = (0.5, 0.4, 0.3), (0.5, 0.25, 0.125)
    encoder = DenseImageEncoder(clip_model=model)
    pixels = torch.randint(256, (2, 3, 5, 7), dtype=torch.uint8)
    expected = Normalize((0.5, 0.4, 0.3), (0.5, 0.25, 0.125))(pixels / 255)
    torch.testing.assert_close(encoder.normalize(pixels), expected)
    torch.testing.assert_close(encoder.normalize(pixels.half()), expected)
    torch.testing.assert_close(encoder.normalize(pixels / 255, max_value=1), expected)
    torch.testing.assert_close(encoder.normalize(pixels[0]), expected[0])
    with pytest.raises(ValueError, match=r"RGB .* \(5, 7, 3\)"):
        encoder.normalize(torch.zeros(5, 7, 3))


def test_normalize_records_gradients_after_inference(stock_model):
    encoder = DenseImageEncoder(clip_model=stock_model("vit"))
    with torch.inference_mode():
        encoder.normalize(torch.zeros(1, 3, 8, 8))
    pixels = torch.zeros(1, 3, 8, 8, requires_grad=True)
    encoder.normalize(pixels).sum().backward()
    torch.testing.assert_close(pixels.grad[0, :, 0, 0], 1 / (255 * torch.tensor(encoder.std)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_held_in_the_autocast_type_give_the_same_values(stock_model, images, family, dtype):
    model, x = stock_model(family), images(64, 40)
    cast, held = (DenseImageEncoder(clip_model=copy.deepcopy(model)) for _ in range(2))
    held.hold_weights_in(dtype)
    with torch.autocast("cpu", dtype=dtype):
        for run in (lambda e: e(x), lambda e: e.dense(x), lambda e: e.features(x, (0,))[0]):
            assert torch.equal(run(held), run(cast))
    assert sum(p.nbytes for p in held.parameters()) < 0.7 * sum(p.nbytes for p in cast.parameters())


def test_weights_that_train_are_not_held_in_another_type(stock_model):
    encoder = DenseImageEncoder(clip_model=stock_model("eva02"), trainable="blocks")
    with pytest.raises(ValueError, match="trainable='blocks'"):
        encoder.hold_weights_in(torch.bfloat16)


@pytest.mark.parametrize("family", ["vit", "eva02", "timm_vit", "resnet", "convnext"])
def test_compiled_blocks_have_no_graph_break_and_the_same_values_and_gradients(stock_model, images, family):
    torch.compiler.reset()
    eager = DenseImageEncoder(clip_model=stock_model(family), trainable="blocks")
    compiled = DenseImageEncoder(clip_model=copy.deepcopy(stock_model(family)), trainable="blocks")
    compiled.load_state_dict(eager.state_dict())
    compiled.compile_blocks(backend="eager", fullgraph=True)
    maps = [encoder.dense(images(64, 64)) for encoder in (eager, compiled)]
    for dense in maps:
        dense.square().cumsum(1).sum().backward()
    torch.testing.assert_close(maps[1], maps[0], atol=3e-6, rtol=0)
    for ours, theirs in zip(compiled.parameters(), eager.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4)


def test_all_blocks_of_a_tower_are_one_program(images):
    torch.compiler.reset()
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    config = dict(embed_dim=16, vision_cfg=dict(image_size=32, layers=6, width=32, patch_size=8, head_width=16))
    config["text_cfg"] = dict(context_length=4, vocab_size=8, width=16, heads=1, layers=1)
    encoder = DenseImageEncoder(config, "random", trainable="blocks")
    encoder.compile_blocks(backend=count)
    for _ in range(2):
        encoder.dense(images(32, 32)).sum().backward()
    assert (
        len(graphs) == 3
    )  # the first, whose input needs no gradient; those in the middle; the last, without attention
