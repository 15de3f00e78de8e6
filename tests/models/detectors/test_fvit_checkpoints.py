"""On detectors in the published layout that the test writes: EVA names, other adaptor names, extra tensors."""

from dataclasses import replace

import pytest
import torch
from mmdet.registry import MODELS

from densevlm_mm.models.detectors.fvit_checkpoints import convert_fvit

EVA = {  # timm's names -> original EVA-CLIP's
    ".mlp.norm.": ".mlp.ffn_ln.",
    ".attn.norm.": ".attn.inner_attn_ln.",
    ".mlp.fc1_g.": ".mlp.w1.",
    ".mlp.fc1_x.": ".mlp.w2.",
    ".mlp.fc2.": ".mlp.w3.",
    ".attn.q_proj.bias": ".attn.q_bias",
    ".attn.v_proj.bias": ".attn.v_bias",
}
ADAPTORS = {"adaptors.0.0": "up4.0", "adaptors.0.1": "up4.1", "adaptors.0.3": "up4.3", "adaptors.1": "up2.0"}


@pytest.fixture
def detector(fvit_config):
    fvit_config.backbone.encoder = dict(
        type="densevlm_mm.DenseImageEncoder", model_name="EVA02-B-16", checkpoint="random"
    )
    fvit_config.backbone.out_indices = (3, 5, 7, 11)
    fvit_config.neck.in_channels = [768] * 4
    embeddings = fvit_config.roi_head.bbox_head.class_embeddings
    fvit_config.roi_head.bbox_head.update(
        class_embeddings=replace(embeddings, embeddings=torch.zeros(4, 512), model="EVA02-B-16"), fc_out_channels=512
    )
    fvit_config.roi_head.vlm_roi_extractor.out_channels = 512
    with torch.device("meta"):
        return MODELS.build(fvit_config)


def published_layout(detector) -> tuple[dict, dict]:
    """The detector's tensors with distinct values: under published names, and under ours."""
    published, ours = {}, {}
    for number, (name, value) in enumerate(detector.state_dict().items()):
        tensor = ours[name] = torch.full(value.shape, float(number)).to(value.dtype)
        if name.startswith("backbone.encoder.visual.trunk."):
            name = "backbone.tower." + name.removeprefix("backbone.encoder.visual.trunk.")
            for old, new in EVA.items():
                name = name.replace(old, new)
        for old, new in ADAPTORS.items():
            name = name.replace(f"backbone.{old}.", f"backbone.{new}.")
        published[name.replace("bbox_head.temperature", "bbox_head.logit_scale")] = tensor
    published["backbone.tower.rope.freqs_cos"] = torch.zeros(196, 64)
    published["roi_head.bbox_head.fc_cls.weight"] = torch.zeros(4, 512)
    published["roi_head.bbox_head.class_embed"] = torch.zeros(3, 512)
    published["extra.thing"] = torch.zeros(1)
    return published, ours


def test_every_tensor_finds_its_place_and_the_rest_is_reported(detector) -> None:
    published, ours = published_layout(detector)
    conversion = convert_fvit({f"module.{name}": value for name, value in published.items()}, detector, "x.pth")
    assert conversion.state_dict.keys() == ours.keys()
    assert all(torch.equal(conversion.state_dict[name], value) for name, value in ours.items())
    assert set(conversion.dropped) == {
        "backbone.tower.rope.freqs_cos",
        "roi_head.bbox_head.fc_cls.weight",
        "roi_head.bbox_head.class_embed",
        "extra.thing",
    }


def test_another_architecture_is_refused(detector) -> None:
    published, _ = published_layout(detector)
    del published["backbone.tower.blocks.3.mlp.w1.weight"]
    published["neck.lateral_convs.0.conv.weight"] = torch.zeros(1, 1, 1, 1)
    with pytest.raises(ValueError, match=r"1 missing .*; 1 of another shape .*neck.lateral_convs.0.conv.weight"):
        convert_fvit(published, detector, "x.pth")


def test_a_detector_without_a_tower_is_refused(detector) -> None:
    with pytest.raises(ValueError, match=r"0 names like .* pos_embed"):
        convert_fvit({"backbone.conv1.weight": torch.zeros(1)}, detector, "resnet.pth")


def test_other_adaptors_are_refused(detector) -> None:
    published, _ = published_layout(detector)
    published["backbone.another.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match="5 modules beside the tower"):
        convert_fvit(published, detector, "x.pth")
