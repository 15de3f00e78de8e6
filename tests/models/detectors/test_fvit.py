import copy

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

BOXES = [[4.0, 4.0, 40.0, 44.0], [20.0, 30.0, 60.0, 60.0]]


@pytest.fixture
def build(fvit_config):
    def build(**bbox_head):
        torch.manual_seed(0)
        config = copy.deepcopy(fvit_config)
        config.roi_head.bbox_head.update(bbox_head)
        detector = MODELS.build(config)
        detector.init_weights()
        return detector

    return build


def images(*size: int) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(1))


def samples(*boxes: list, shape: tuple[int, int] = (64, 64), labels=(0, 2)) -> list[DetDataSample]:
    metainfo = dict(img_shape=shape, pad_shape=shape, batch_input_shape=shape, scale_factor=(1.0, 1.0), ori_shape=shape)
    found = []
    for of_image in boxes:
        sample = DetDataSample(metainfo=dict(metainfo))
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(of_image).reshape(-1, 4), labels=torch.tensor(labels[: len(of_image)], dtype=torch.long)
        )
        found.append(sample)
    return found


def total(losses: dict) -> torch.Tensor:
    return sum(sum(v) if isinstance(v, list) else v for k, v in losses.items() if "loss" in k)


@pytest.mark.parametrize(
    ("boxes", "shape"),
    [
        ([BOXES, BOXES[:1]], (64, 64)),
        ([BOXES, []], (64, 96)),
        ([[], []], (64, 64)),
    ],
    ids=["square", "non-square, one image without boxes", "no boxes at all"],
)
def test_every_trainable_parameter_gets_a_gradient_and_the_tower_none(build, boxes, shape) -> None:
    """So DDP needs no find_unused_parameters."""
    detector = build().train()
    tower = {name: value.clone() for name, value in detector.backbone.encoder.state_dict().items()}
    optimizer = torch.optim.SGD(detector.parameters(), lr=0.01)
    loss = total(detector(images(2, 3, *shape), samples(*boxes, shape=shape), mode="loss"))
    loss.backward()
    assert torch.isfinite(loss)
    for name, parameter in detector.named_parameters():
        assert parameter.requires_grad != name.startswith("backbone.encoder."), name
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
    optimizer.step()
    after = detector.backbone.encoder.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in tower.items())
    assert not detector.backbone.encoder.training


@pytest.mark.parametrize("boxes", [BOXES, []])
def test_mask_head_trains_too(fvit_config, boxes) -> None:
    fvit_config.roi_head.update(
        mask_roi_extractor={
            **fvit_config.roi_head.bbox_roi_extractor,
            "roi_layer": dict(type="RoIAlign", output_size=14, sampling_ratio=0),
        },
        mask_head=dict(
            type="FCNMaskHead",
            num_convs=1,
            in_channels=16,
            conv_out_channels=16,
            num_classes=3,
            class_agnostic=True,
            norm_cfg=dict(type="BN"),
            loss_mask=dict(type="CrossEntropyLoss", use_mask=True),
        ),
    )
    fvit_config.train_cfg.rcnn.mask_size = 28
    detector = MODELS.build(fvit_config).train()
    batch = samples(boxes)
    batch[0].gt_instances.masks = BitmapMasks(np.ones((len(boxes), 64, 64), np.uint8), 64, 64)
    losses = detector(images(1, 3, 64, 64), batch, mode="loss")
    total(losses).backward()
    assert torch.isfinite(losses["loss_mask"]).all()
    assert all(p.grad is not None for p in detector.roi_head.mask_head.parameters())


def test_it_learns_one_image(build) -> None:
    detector = build().train()
    optimizer = torch.optim.AdamW([p for p in detector.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for _ in range(12):
        loss = total(detector(images(2, 3, 64, 64), samples(BOXES, BOXES), mode="loss"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


def test_training_makes_no_dense_map(build, monkeypatch) -> None:
    detector = build().train()
    monkeypatch.delattr(type(detector.backbone), "forward_with_dense")
    detector(images(1, 3, 64, 64), samples(BOXES), mode="loss")


@pytest.mark.parametrize("shape", [(64, 64), (64, 128)])
def test_predicts_scores_in_0_1_and_boxes_in_the_image(build, shape) -> None:
    detector = build().eval()
    with torch.no_grad():
        results = detector(images(2, 3, *shape), samples([], [], shape=shape), mode="predict")
    for result in results:
        found = result.pred_instances
        assert 0 < len(found) <= 20
        assert ((found.scores > 0) & (found.scores <= 1)).all()
        assert ((found.labels >= 0) & (found.labels < 3)).all()
        assert (found.bboxes >= 0).all()
        assert (found.bboxes[:, [0, 2]] <= shape[1]).all()
        assert (found.bboxes[:, [1, 3]] <= shape[0]).all()


def test_the_tower_runs_once_an_image_and_the_dense_map_counts(build) -> None:
    detector = build().eval()
    calls = []
    detector.backbone.encoder.visual.trunk.blocks[0].register_forward_hook(lambda *_: calls.append(1))

    def scores() -> torch.Tensor:
        given = samples([])
        given[0].proposals = InstanceData(bboxes=torch.tensor(BOXES))
        with torch.no_grad():
            return detector.predict(images(1, 3, 64, 64), given)[0].pred_instances.scores

    with_encoder = scores()
    assert len(calls) == 1
    detector.roi_head.bbox_head.vlm_share.zero_()
    assert not torch.equal(with_encoder, scores())


def test_one_class_vocabulary(build, make_embeddings) -> None:
    detector = build(num_classes=1, class_embeddings=make_embeddings(("boat",)), novel_classes=())
    loss = total(detector.train()(images(1, 3, 64, 64), samples(BOXES, labels=(0, 0)), mode="loss"))
    loss.backward()
    assert torch.isfinite(loss)
    with torch.no_grad():
        found = detector.eval()(images(1, 3, 64, 64), samples([]), mode="predict")[0].pred_instances
    assert (found.labels == 0).all()


def test_boxes_are_not_rounded_under_autocast(build) -> None:
    detector = build().eval()
    seen = {}

    def remember(name: str):
        return lambda _, inputs: seen.update({name: inputs[1].type_as(inputs[0][0])})

    for name in ("bbox_roi_extractor", "vlm_roi_extractor"):
        getattr(detector.roi_head, name).register_forward_pre_hook(remember(name))
    given = samples([])
    given[0].proposals = InstanceData(bboxes=torch.tensor([[3.3, 4.1, 40.7, 44.9]]))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = detector.predict(images(1, 3, 64, 64), given)[0].pred_instances
    assert found.bboxes.dtype == found.scores.dtype == torch.float32
    for rois in seen.values():
        assert torch.equal(rois, torch.tensor([[0, 3.3, 4.1, 40.7, 44.9]]))
    assert len(seen) == 2


def test_trains_under_autocast(build) -> None:
    detector = build().train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = total(detector(images(1, 3, 64, 64), samples(BOXES), mode="loss"))
    loss.backward()
    assert torch.isfinite(loss)


def test_checkpoint_gives_the_same_detections(build) -> None:
    detector, other = build(), build()
    detector.train()(images(2, 3, 64, 64), samples(BOXES, BOXES), mode="loss")  # moves the running statistics
    other.load_state_dict(detector.state_dict())
    with torch.no_grad():
        one, two = (d.eval()(images(1, 3, 64, 64), samples([]), mode="predict")[0] for d in (detector, other))
    assert torch.equal(one.pred_instances.scores, two.pred_instances.scores)
    assert torch.equal(one.pred_instances.bboxes, two.pred_instances.bboxes)


def test_embeddings_of_another_model_are_refused(build, make_embeddings) -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match="text tower of 'ViT-B-16'"):
        build(class_embeddings=replace(make_embeddings(), model="ViT-B-16"))
