import pytest
import torch

from densevlm_mm.models.clip.checkpoint_layouts import to_open_clip_layout, with_text_layout

TENSOR = torch.ones(2)


def layout(*keys):
    return {key: torch.full((2,), float(i)) for i, key in enumerate(keys)}


def test_open_clip_layout_is_kept():
    state_dict = layout("visual.proj", "transformer.resblocks.0.ln_1.weight", "logit_scale")
    assert to_open_clip_layout(state_dict, "file") == state_dict


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("wrapper", ["state_dict", "model", "module", "model_state_dict"])
def test_training_wrappers_and_prefixes_are_removed(prefix, wrapper):
    state_dict = layout("visual.proj", "logit_scale")
    content = {
        "epoch": 6,
        "name": "run",
        wrapper: {prefix + k: v for k, v in state_dict.items()},
        "optimizer": {"state": {}},
    }
    found = to_open_clip_layout(content, "file")
    assert found.keys() == state_dict.keys()
    assert all(torch.equal(found[key], state_dict[key]) for key in found)


def test_constant_buffers_are_dropped():
    found = to_open_clip_layout(layout("visual.proj", "attn_mask", "text.attn_mask"), "file")
    assert found.keys() == {"visual.proj"}


def test_original_eva_names_become_timms():
    pairs = {
        "visual.cls_token": "visual.trunk.cls_token",
        "visual.pos_embed": "visual.trunk.pos_embed",
        "visual.patch_embed.proj.weight": "visual.trunk.patch_embed.proj.weight",
        "visual.blocks.0.attn.q_proj.weight": "visual.trunk.blocks.0.attn.q_proj.weight",
        "visual.blocks.0.attn.q_bias": "visual.trunk.blocks.0.attn.q_proj.bias",
        "visual.blocks.0.attn.v_bias": "visual.trunk.blocks.0.attn.v_proj.bias",
        "visual.blocks.0.attn.inner_attn_ln.weight": "visual.trunk.blocks.0.attn.norm.weight",
        "visual.blocks.0.mlp.w1.weight": "visual.trunk.blocks.0.mlp.fc1_g.weight",
        "visual.blocks.0.mlp.w2.bias": "visual.trunk.blocks.0.mlp.fc1_x.bias",
        "visual.blocks.0.mlp.w3.weight": "visual.trunk.blocks.0.mlp.fc2.weight",
        "visual.blocks.0.mlp.ffn_ln.bias": "visual.trunk.blocks.0.mlp.norm.bias",
        "visual.norm.weight": "visual.trunk.norm.weight",
        "visual.head.bias": "visual.trunk.head.bias",
        "text.ln_final.weight": "text.ln_final.weight",
        "logit_scale": "logit_scale",
    }
    rotary = layout("visual.rope.freqs_cos", "visual.rope.freqs_sin", "visual.blocks.0.attn.rope.freqs_cos")
    found = to_open_clip_layout({**layout(*pairs), **rotary}, "file")
    expected = dict(zip(pairs.values(), layout(*pairs).values(), strict=True))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_fused_eva_keeps_its_biases_apart():
    keys = (
        "visual.cls_token",
        "visual.blocks.0.attn.qkv.weight",
        "visual.blocks.0.attn.q_bias",
        "visual.blocks.0.mlp.fc1.bias",
    )
    assert set(to_open_clip_layout(layout(*keys), "file")) == {k.replace("visual.", "visual.trunk.") for k in keys}


@pytest.mark.parametrize("prefix", ["encoder.", "backbone.encoder.", "module.encoder."])
def test_runner_checkpoints_keep_the_encoder_only(prefix):
    content = {
        "state_dict": layout(f"{prefix}visual.proj", "data_preprocessor.mean", "head.weight"),
        "meta": {"epoch": 1},
    }
    assert set(to_open_clip_layout(content, "file")) == {"visual.proj"}


def test_weight_ensemble_mixes_trained_and_initial_weights():
    trained = {"encoder.visual.proj": torch.tensor([1.0, 2.0]), "encoder.visual.frozen": torch.tensor([5.0])}
    trained["encoder.visual.count"] = torch.tensor([3])
    initial = {"encoder.visual.proj": torch.tensor([0.0, 1.0]), "encoder.visual.count": torch.tensor([0])}
    content = {"state_dict": trained, "weight_ensemble": {"alpha": 0.9, "initial_state_dict": initial}}
    found = to_open_clip_layout(content, "file")
    torch.testing.assert_close(found["visual.proj"], torch.tensor([0.9, 1.9]))
    assert found["visual.frozen"].item() == 5.0
    assert found["visual.count"].item() == 3


def test_a_weight_ensemble_that_does_not_fit_is_refused():
    ensemble = {"alpha": 0.9, "initial_state_dict": {"encoder.visual.other": TENSOR}}
    content = {"state_dict": {"encoder.visual.proj": TENSOR}, "weight_ensemble": ensemble}
    with pytest.raises(ValueError, match=r"encoder\.visual\.other"):
        to_open_clip_layout(content, "file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "optimizer": {}}, "no state dict found.*epoch"),
        ([TENSOR], "holds a list"),
        ({"layer1.weight": TENSOR, "fc.bias": TENSOR}, "no key starts with 'visual.'.*layer1.weight"),
    ],
)
def test_files_without_an_image_tower_are_refused(content, message):
    with pytest.raises(ValueError, match=message):
        to_open_clip_layout(content, "file")


def test_text_towers_move_to_where_the_model_has_them():
    flat = layout(
        "visual.proj", "text_projection", "transformer.resblocks.0.ln_1.bias", "positional_embedding", "logit_scale"
    )
    nested = with_text_layout(flat, custom_text=True)
    assert set(nested) == {
        "visual.proj",
        "text.text_projection",
        "text.transformer.resblocks.0.ln_1.bias",
        "text.positional_embedding",
        "logit_scale",
    }
    assert with_text_layout(nested, custom_text=True).keys() == nested.keys()
    assert with_text_layout(nested, custom_text=False).keys() == flat.keys()
