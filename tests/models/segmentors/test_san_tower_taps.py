"""The generalisation of SAN to towers that pool by the mean."""

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from densevlm_mm.models.clip.architecture import resolve_architecture
from densevlm_mm.models.decode_heads.san_recognition import MaskPooledRecognition


@pytest.fixture
def taps(tower_san_config):
    return MODELS.build(tower_san_config["image_encoder"])


@pytest.mark.parametrize("size", [(64, 64), (48, 88)])
def test_zero_bias_gives_the_global_embedding(taps, size) -> None:
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    expected = F.normalize(taps.encoder(images), dim=-1)
    found = MaskPooledRecognition()([torch.zeros(2, 1, 5, size[0] // 4, size[1] // 4)], taps(images)[-1])
    torch.testing.assert_close(found, expected[:, None].expand(-1, 5, -1), atol=1e-5, rtol=1e-4)


def test_maps_are_inputs_and_outputs_of_blocks(taps) -> None:
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    trunk = taps.encoder.visual.trunk
    seen = []
    hook = trunk.blocks[0].register_forward_hook(lambda module, inputs, output: seen.extend([inputs[0], output]))
    with torch.no_grad():
        trunk.forward_features(images)
    hook.remove()
    items = taps(images)
    assert [item[1] is None for item in items] == [True, False]
    for (features, _), tokens in zip(items, seen, strict=True):
        torch.testing.assert_close(features.flatten(2).transpose(1, 2), tokens, atol=1e-5, rtol=1e-4)


def test_a_tower_with_a_class_token_is_refused(tower_san_config, tmp_path) -> None:
    vision = dict(image_size=32, layers=2, width=32, head_width=16, patch_size=8)
    cfg = dict(embed_dim=16, vision_cfg=vision, text_cfg=dict(context_length=8, vocab_size=20, width=16, heads=2))
    torch.manual_seed(0)
    state_dict = {f"visual.{k}": v for k, v in resolve_architecture(cfg).build_visual().state_dict().items()}
    torch.save(state_dict, tmp_path / "vit.pt")
    encoder = dict(type="densevlm_mm.DenseImageEncoder", model_name=cfg, checkpoint=str(tmp_path / "vit.pt"))
    with pytest.raises(ValueError, match="does not pool by the mean"):
        MODELS.build(dict(tower_san_config["image_encoder"], encoder=encoder))


@pytest.mark.parametrize("out_indices", [(), (2,), (1, 0), (0, 0)])
def test_impossible_blocks_are_refused(tower_san_config, out_indices) -> None:
    with pytest.raises(ValueError, match="ascending blocks"):
        MODELS.build(dict(tower_san_config["image_encoder"], out_indices=out_indices))


def test_a_trainable_encoder_is_refused(tower_san_config) -> None:
    encoder = dict(tower_san_config["image_encoder"]["encoder"], trainable="blocks")
    with pytest.raises(ValueError, match="frozen"):
        MODELS.build(dict(tower_san_config["image_encoder"], encoder=encoder))


def test_an_encoder_of_the_value_path_is_refused(tower_san_config) -> None:
    encoder = dict(tower_san_config["image_encoder"]["encoder"], dense_path=dict(type="values", layers=1))
    with pytest.raises(ValueError, match=r"trained with dense_path=.*, SAN runs its blocks in their ordinary form"):
        MODELS.build(dict(tower_san_config["image_encoder"], encoder=encoder))
