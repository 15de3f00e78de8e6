import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from densevlm_mm.models.backbones import DenseVLMBackbone
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.registry import MODELS

STUDENT = "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"
ENCODER = dict(type="densevlm_mm.DenseImageEncoder", checkpoint=STUDENT)
BACKBONE = dict(
    type="densevlm_mm.DenseVLMBackbone", encoder=ENCODER, out_indices=(0, 0, 1, 1), norm_cfg=dict(type="BN")
)


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch, request) -> None:
    monkeypatch.chdir(request.config.rootpath)


def build(**options) -> DenseVLMBackbone:
    return MODELS.build({**BACKBONE, **options})


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160)])
def test_maps_lie_at_their_strides(height: int, width: int) -> None:
    backbone = build()
    maps = backbone(torch.randn(2, 3, height, width))
    assert backbone.strides == [2, 4, 8, 16]
    for out, stride, channels in zip(maps, backbone.strides, backbone.out_channels, strict=True):
        assert out.shape == (2, channels, height // stride, width // stride)


def test_third_map_and_dense_map_are_the_encoders_to_the_bit() -> None:
    backbone = build().eval()
    encoder = DenseImageEncoder(checkpoint=STUDENT).eval()
    images = torch.randn(2, 3, 64, 64)
    maps, dense = backbone.forward_with_dense(images)
    assert torch.equal(maps[2], encoder.features(images, (1,))[0])
    assert torch.equal(dense, encoder.dense(images))
    for one, other in zip(maps, backbone(images), strict=True):
        assert torch.equal(one, other)


def test_the_tower_is_run_once_an_image() -> None:
    backbone = build()
    calls = []
    backbone.encoder.visual.trunk.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    backbone.forward_with_dense(torch.randn(1, 3, 64, 64))
    assert len(calls) == 1


def test_only_adaptors_train_and_the_tower_stays_in_eval_mode() -> None:
    backbone = build().train()
    before = {name: value.clone() for name, value in backbone.encoder.state_dict().items()}
    optimizer = torch.optim.SGD(backbone.parameters(), lr=1.0)
    sum(m.square().mean() for m in backbone(torch.randn(2, 3, 64, 64))).backward()
    optimizer.step()
    assert not backbone.encoder.training
    assert backbone.adaptors[0].training
    for name, parameter in backbone.named_parameters():
        assert (parameter.grad is not None) == name.startswith("adaptors."), name
    after = backbone.encoder.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_blocks_are_fine_tuned_at_rates_that_fall_towards_the_first() -> None:
    backbone = build(encoder=dict(ENCODER, trainable="blocks")).train()
    before = {name: value.clone() for name, value in backbone.named_parameters()}
    optim_wrapper = build_optim_wrapper(
        backbone,
        dict(
            constructor="densevlm_mm.GroupedOptimWrapperConstructor",
            optimizer=dict(type="SGD", lr=1.0),
            paramwise_cfg=dict(layer_decay=0.5),
        ),
    )
    sum(m.square().mean() for m in backbone(torch.randn(2, 3, 64, 64))).backward()
    optim_wrapper.step()

    assert not backbone.encoder.training
    moved = set()
    for name, parameter in backbone.named_parameters():
        rate = 1.0 if name.startswith("adaptors.") else 0.5 if ".blocks.1." in name else 0.25
        if parameter.grad is None:
            assert torch.equal(parameter, before[name]), name
        else:
            torch.testing.assert_close(parameter, before[name] - rate * parameter.grad)
            moved.add((name.split(".")[0], ".blocks.0." in name, ".blocks.1." in name))
    assert moved == {("adaptors", False, False), ("encoder", True, False), ("encoder", False, True)}


def test_init_weights_leaves_the_tower_alone() -> None:
    backbone = build(init_cfg=dict(type="Constant", layer="ConvTranspose2d", val=0.5))
    before = {name: value.clone() for name, value in backbone.encoder.state_dict().items()}
    backbone.init_weights()
    assert all(torch.equal(value, before[name]) for name, value in backbone.encoder.state_dict().items())
    assert (backbone.adaptors[1].weight == 0.5).all()


def test_unadapted_maps_all_have_the_patchs_stride() -> None:
    backbone = build(adapt=False, out_indices=(0, -1))
    assert [m.shape[-2:] for m in backbone(torch.randn(1, 3, 64, 64))] == [(8, 8), (8, 8)]
    assert backbone.strides == [8, 8]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (dict(encoder=dict(ENCODER, trainable="all")), "use 'blocks' to fine-tune"),
        (dict(encoder=dict(ENCODER, trainable="blocks"), out_indices=(0, 0, 0, 0)), "out_indices be 1"),
        (dict(out_indices=(0, 1)), "four"),
    ],
)
def test_wrong_arguments_are_named(options, named) -> None:
    with pytest.raises(ValueError, match=named):
        build(**options)


def test_swaps_into_a_stock_mmdet_detector(tmp_path) -> None:
    config = tmp_path / "detector.py"
    config.write_text(
        "_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py']\n"
        f"model = dict(backbone=dict(_delete_=True, **{BACKBONE}),\n"
        "    neck=dict(in_channels=[96] * 4), bbox_head=dict(num_classes=3))\n"
    )
    from mmdet.registry import MODELS as MMDET_MODELS
    from mmdet.structures import DetDataSample
    from mmdet.utils import register_all_modules
    from mmengine.structures import InstanceData

    register_all_modules()
    detector = MMDET_MODELS.build(Config.fromfile(str(config)).model)
    sample = DetDataSample(
        metainfo=dict(img_shape=(64, 64), pad_shape=(64, 64), batch_input_shape=(64, 64), scale_factor=(1, 1))
    )
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[4.0, 4.0, 40.0, 44.0]]), labels=torch.tensor([1]))
    losses = detector.loss(torch.randn(1, 3, 64, 64), [sample])
    sum(sum(v) if isinstance(v, list) else v for v in losses.values()).backward()
    assert detector.backbone.adaptors[1].weight.grad is not None  # RetinaNet starts at the second map


def test_swaps_into_a_stock_mmseg_segmentor() -> None:
    from mmseg.registry import MODELS as MMSEG_MODELS
    from mmseg.utils import register_all_modules

    register_all_modules()
    head = dict(
        type="FCNHead", in_channels=96, in_index=2, channels=16, num_convs=1, num_classes=5, norm_cfg=dict(type="BN")
    )
    segmentor = MMSEG_MODELS.build(
        dict(type="EncoderDecoder", backbone=BACKBONE, decode_head=head, test_cfg=dict(mode="whole"))
    ).eval()
    assert segmentor.encode_decode(torch.randn(1, 3, 64, 96), [dict(img_shape=(64, 96))]).shape == (1, 5, 64, 96)
