"""mmseg's stock SAN takes what the converter writes, all of it."""

import runpy
from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from open_clip import CLIP

ROOT = Path(__file__).parents[3]
CONFIG = dict(
    embed_dim=16,
    quick_gelu=True,
    vision_cfg=dict(image_size=32, layers=4, width=32, head_width=16, patch_size=8),
    text_cfg=dict(context_length=77, vocab_size=64, width=16, heads=2, layers=2),
)


@pytest.fixture
def convert():
    return runpy.run_path(str(ROOT / "tools/model_converters/san.py"))["convert"]


@pytest.fixture
def clip(tmp_path) -> CLIP:
    torch.manual_seed(0)
    model = CLIP(**CONFIG)
    torch.save(model.state_dict(), tmp_path / "clip.pt")
    return model


@pytest.fixture
def stock_san(_default_scope):
    """mmseg's own SAN with ``pretrained=``, as its users configure it."""
    import mmseg.models  # noqa: F401
    from mmseg.registry import MODELS

    init_default_scope("mmseg")
    norm, act = dict(type="LN", eps=1e-5), dict(type="QuickGELU")

    def build(pretrained: Path):
        encoder = dict(type="VisionTransformer", img_size=(32, 32), patch_size=8, patch_pad=0, patch_bias=False)
        encoder |= dict(embed_dims=32, num_layers=3, num_heads=2, out_origin=True, out_indices=(2,), pre_norm=True)
        encoder |= dict(output_cls_token=True, norm_cfg=norm, act_cfg=act, frozen_exclude=[])
        text = dict(type="CLIPTextEncoder", vocabulary=["boat"], total_vocab_size=64, embed_dims=16, num_layers=2)
        text |= dict(num_heads=2, output_dims=16, norm_cfg=norm)
        side = dict(in_channels=3, clip_channels=32, embed_dims=24, num_queries=5, fusion_index=[0, 1])
        side |= dict(cfg_encoder=dict(num_encode_layer=2, num_heads=2, mlp_ratio=2), norm_cfg=norm)
        side |= dict(cfg_decoder=dict(num_heads=2, num_layers=1, embed_channels=16, mlp_channels=16, num_mlp=2))
        side["cfg_decoder"]["rescale"] = True
        recognition = dict(sos_token_num=5, num_layers=1, embed_dims=32, num_heads=2, out_dims=16, act_cfg=act)
        head = dict(type="SideAdapterCLIPHead", num_classes=2, deep_supervision_idxs=[], train_cfg=None)
        head |= dict(san_cfg=side, maskgen_cfg=recognition)
        options = dict(image_encoder=encoder, text_encoder=text, decode_head=head, encoder_resolution=0.5)
        cfg = ConfigDict(type="MultimodalEncoderDecoder", pretrained=str(pretrained), **options)
        model = MODELS.build(cfg)
        model.init_weights()
        return model

    return build


def test_stock_san_takes_every_tensor(convert, clip, stock_san, tmp_path) -> None:
    assert convert(str(tmp_path / "clip.pt"), str(tmp_path / "san.pth"), CONFIG) == 3  # of four blocks
    converted = torch.load(tmp_path / "san.pth")
    loaded = stock_san(tmp_path / "san.pth").state_dict()
    own = {name for name in loaded if "side_adapter" in name or name == "text_encoder.bg_embed"}
    assert set(loaded) - own == set(converted)
    for name, value in converted.items():
        assert torch.equal(loaded[name], value), name
    assert sum(v.numel() for v in converted.values()) == sum(p.numel() for p in clip.parameters())


def test_text_tower_from_a_second_file(convert, clip, tmp_path) -> None:
    """A DenseVLM checkpoint has the image tower only."""
    visual = {f"module.visual.{key}": value + 1 for key, value in clip.visual.state_dict().items()}
    torch.save(dict(epoch=1, state_dict=visual), tmp_path / "densevlm.pt")
    with pytest.raises(ValueError, match="take the text tower from the CLIP release"):
        convert(str(tmp_path / "densevlm.pt"), str(tmp_path / "san.pth"), CONFIG)
    assert not (tmp_path / "san.pth").exists()
    convert(str(tmp_path / "densevlm.pt"), str(tmp_path / "san.pth"), CONFIG, str(tmp_path / "clip.pt"))
    converted = torch.load(tmp_path / "san.pth")
    assert torch.equal(converted["image_encoder.cls_token"][0, 0], clip.visual.class_embedding + 1)
    assert torch.equal(converted["text_encoder.text_projection"], clip.text_projection)


def test_the_split_can_be_chosen(convert, clip, tmp_path) -> None:
    assert convert(str(tmp_path / "clip.pt"), str(tmp_path / "san.pth"), CONFIG, encoder_blocks=1) == 1
    assert "decode_head.rec_with_attnbias.layers.2.norms.0.weight" in torch.load(tmp_path / "san.pth")


def test_another_ending_is_refused(convert, clip, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"\.pth"):
        convert(str(tmp_path / "clip.pt"), str(tmp_path / "san.safetensors"), CONFIG)
