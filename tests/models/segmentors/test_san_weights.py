"""The conversion is proved by numbers: the parts compute what open_clip computes."""

import json
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config, ConfigDict
from mmseg.models.text_encoder.clip_text_encoder import CLIPTextEncoder
from mmseg.registry import MODELS
from safetensors.torch import save_file

from densevlm_mm.models.clip import export_open_clip, resolve_architecture
from densevlm_mm.models.segmentors.san_weights import load_clip_image_tower, to_mmseg_layout


@pytest.fixture
def build_parts(san_config):
    def build(**changes):
        cfg = ConfigDict(san_config)
        cfg.image_encoder.update(changes)
        cfg.decode_head.num_classes = 4
        return MODELS.build(cfg.image_encoder), MODELS.build(cfg.decode_head).rec_with_attnbias

    return build


def test_parts_compute_what_open_clip_computes(build_parts, clip, clip_file, vit_cfg) -> None:
    encoder, recognition = build_parts(out_indices=(0, 1))
    load_clip_image_tower(encoder, recognition, vit_cfg, str(clip_file))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    blocks: list[torch.Tensor] = []
    hooks = [block.register_forward_hook(lambda *a: blocks.append(a[2])) for block in clip.visual.transformer.resblocks]
    with torch.no_grad():
        expected = F.normalize(clip.encode_image(images), dim=-1)
        taps = encoder(images)
        found = recognition([torch.zeros(2, 2, 5, 4, 4)], taps[-1])
    for hook in hooks:
        hook.remove()
    assert len(taps) == 3  # before the first block, after each of two
    for (features, cls_token), tokens in zip(taps[1:], blocks[:2], strict=True):
        torch.testing.assert_close(cls_token, tokens[:, 0], atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(features.flatten(2).transpose(1, 2), tokens[:, 1:], atol=2e-5, rtol=1e-4)
    # With zero bias every query is a copy of the class token.
    torch.testing.assert_close(found, expected[:, None].expand(-1, 5, -1), atol=2e-6, rtol=1e-4)


def test_text_tower_computes_what_open_clip_computes(segmentation_scope, clip) -> None:
    state_dict = {k: v for k, v in to_mmseg_layout(clip.state_dict(), 2).items() if k.startswith("text_encoder.")}
    tower = CLIPTextEncoder(
        vocabulary=["boat"],
        total_vocab_size=64,
        embed_dims=16,
        num_layers=2,
        num_heads=2,
        output_dims=16,
        cat_bg=False,
        norm_cfg=dict(type="LN", eps=1e-5),
    ).eval()
    tower.load_state_dict({key.removeprefix("text_encoder."): value for key, value in state_dict.items()})
    tokens = torch.randint(1, 60, (3, 77), generator=torch.Generator().manual_seed(0))
    tokens[:, 20:] = 0
    tokens[:, 19] = 63  # end of text
    torch.testing.assert_close(tower.encode_text(tokens), clip.encode_text(tokens), atol=1e-5, rtol=1e-4)


def test_conversion_loses_nothing(clip) -> None:
    state_dict = clip.state_dict()
    converted = to_mmseg_layout(state_dict, 2)
    assert len(converted) == len(state_dict)
    assert sum(v.numel() for v in converted.values()) == sum(v.numel() for v in state_dict.values())


@pytest.mark.parametrize("num_encoder_blocks", [0, 3, 7])
def test_a_side_without_blocks_is_refused(clip, num_encoder_blocks) -> None:
    with pytest.raises(ValueError, match="use 1 to 2"):
        to_mmseg_layout(clip.state_dict(), num_encoder_blocks)


def test_another_family_is_refused() -> None:
    with pytest.raises(ValueError, match=r"visual\.trunk.*EVA-02"):
        to_mmseg_layout({"visual.trunk.blocks.0.norm1.weight": torch.ones(2)}, 1)


def test_image_tower_alone_in_the_layout_of_a_training_run(build_parts, clip, vit_cfg, tmp_path) -> None:
    """What tools/train.py saves: ``encoder.visual.*``, no text tower."""
    state_dict = {f"encoder.visual.{key}": value for key, value in clip.visual.state_dict().items()}
    torch.save(dict(state_dict=state_dict, meta=dict()), tmp_path / "iter_1.pth")
    encoder, recognition = build_parts()
    load_clip_image_tower(encoder, recognition, vit_cfg, str(tmp_path / "iter_1.pth"))
    torch.testing.assert_close(recognition.proj.weight, clip.visual.proj.t())
    assert torch.equal(encoder.layers[1].ln1.bias, clip.visual.transformer.resblocks[1].ln_1.bias)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            dict(dense_path=json.dumps(dict(type="values", layers=1, gate=False))),
            "SAN runs its blocks in their ordinary",
        ),
        (dict(dense_blocks=True), "SAN would read the initial ones alone: export the encoder without --keep-global"),
    ],
)
def test_weights_of_another_dense_path_are_refused(build_parts, clip, vit_cfg, tmp_path, change, message) -> None:
    facts = {key: value for key, value in change.items() if key == "dense_path"}
    state_dict = {f"visual.{key}": value for key, value in clip.visual.state_dict().items()}
    if "dense_blocks" in change:
        last = clip.visual.transformer.resblocks[-1].state_dict()
        state_dict |= {f"dense_blocks.0.{key}": value for key, value in last.items()}
    file = export_open_clip(tmp_path / "encoder.safetensors", state_dict, resolve_architecture(vit_cfg), **facts)
    with pytest.raises(ValueError, match=message):
        load_clip_image_tower(*build_parts(), vit_cfg, str(file))


def test_converted_and_foreign_layouts_are_refused(build_parts, clip, vit_cfg, tmp_path) -> None:
    encoder, recognition = build_parts()
    save_file(to_mmseg_layout(clip.state_dict(), 2), tmp_path / "mmseg.safetensors")
    with pytest.raises(ValueError, match=r"no key starts with 'visual\.'"):
        load_clip_image_tower(encoder, recognition, vit_cfg, str(tmp_path / "mmseg.safetensors"))
    state_dict = {key: value for key, value in clip.state_dict().items() if "resblocks.2" not in key}
    torch.save(state_dict, tmp_path / "short.pt")
    with pytest.raises(ValueError, match="missing"):
        load_clip_image_tower(encoder, recognition, vit_cfg, str(tmp_path / "short.pt"))


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        (dict(num_heads=4), "attention heads"),
        (dict(num_layers=1, out_indices=(0,)), "blocks"),
        (dict(act_cfg=dict(type="GELU")), "QuickGELU"),
        (dict(img_size=(64, 64)), "image size"),
    ],
)
def test_a_config_of_another_architecture_is_refused(build_parts, vit_cfg, clip_file, changes, fact) -> None:
    with pytest.raises(ValueError, match=fact):
        load_clip_image_tower(*build_parts(**changes), vit_cfg, str(clip_file))


# Parameters, and those that train, as measured on mmseg's SAN (official logs: 8.37 M and 9.32 M).
REAL_SIZES = {
    "b16": dict(image_encoder=64_534_272, recognition=21_658_368, trained=8_219_058 + 151_296 + 512),
    "l14": dict(image_encoder=227_928_064, recognition=76_365_824, trained=9_321_650),
}


@pytest.mark.parametrize("size", REAL_SIZES)
def test_real_sizes(size, segmentation_scope, make_class_embeddings, request, monkeypatch) -> None:
    # mmseg's ViT reads its drop rates from a tensor, which one on the meta device does not allow.
    monkeypatch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))
    cfg = Config.fromfile(request.config.rootpath / f"configs/_base_/models/san_vit-{size}.py").model
    dim = cfg.decode_head.maskgen_cfg.out_dims
    model = cfg.clip.model_name
    cfg.class_embeddings = make_class_embeddings(tuple(map(str, range(171))), dim, model)
    with torch.device("meta"):
        san = MODELS.build(cfg)
    expected = REAL_SIZES[size]
    assert sum(p.numel() for p in san.image_encoder.parameters()) == expected["image_encoder"]
    assert sum(p.numel() for p in san.decode_head.rec_with_attnbias.parameters()) == expected["recognition"]
    assert sum(p.numel() for p in san.parameters() if p.requires_grad) == expected["trained"]
