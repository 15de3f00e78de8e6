import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torchvision.ops import roi_align

BOXES = (
    torch.tensor([[3.3, 4.1, 40.7, 44.9], [10.2, 0.0, 20.9, 63.5], [30.0, 30.0, 62.0, 50.0]]),
    torch.tensor([[0.4, 0.6, 15.0, 60.1]]),
)


@pytest.fixture
def build(fvit_config):
    def build(**options):
        torch.manual_seed(0)
        config = {**fvit_config.roi_head, **options}
        return MODELS.build({**config, "train_cfg": None, "test_cfg": fvit_config.test_cfg.rcnn}).eval()

    return build


def pyramid(num_images: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(4)
    return tuple(torch.randn(num_images, 16, 64 // s, 64 // s, generator=generator) for s in (2, 4, 8, 16, 32))


def dense_map(num_images: int) -> torch.Tensor:
    dense = torch.randn(num_images, 128, 8, 8, generator=torch.Generator().manual_seed(5))
    return torch.nn.functional.normalize(dense, dim=1)


def predict(head, boxes=BOXES, rescale: bool = False) -> list[InstanceData]:
    samples = [DetDataSample(metainfo=dict(img_shape=(64, 64), scale_factor=(2.0, 2.0))) for _ in boxes]
    proposals = [InstanceData(bboxes=b) for b in boxes]
    with torch.no_grad():
        return head.predict(pyramid(len(boxes)), proposals, samples, rescale=rescale, dense=dense_map(len(boxes)))


def test_scores_combine_detector_and_dense_map(build) -> None:
    """Every box's score is found again from torchvision's RoIAlign and the formula."""
    head = build()
    head.test_cfg.nms.iou_threshold = 1.0
    head.test_cfg.max_per_img = 1000
    rois = torch.cat([torch.tensor([[i, *b] for b in boxes.tolist()]) for i, boxes in enumerate(BOXES)])
    vlm = roi_align(dense_map(2), rois, 1, 1 / 8, 0, aligned=True)[:, :, 0, 0].double()
    with torch.no_grad():
        p = head._bbox_forward(pyramid(2), rois)["cls_score"].double().softmax(dim=1)
    text = head.bbox_head.text.double()
    q = (75 * (vlm / vlm.norm(dim=1, keepdim=True)) @ text.T).softmax(dim=1)
    share = torch.tensor([0.1, 0.8, 0.1, 0.1])
    expected = (p ** (1 - share) * q**share)[:, :3]
    results = predict(head)
    for result, image in zip(results, expected.split([3, 1]), strict=True):
        assert len(result) == image.numel()
        for label in range(3):
            found = result.scores[result.labels == label].sort().values
            torch.testing.assert_close(found.double(), image[:, label].sort().values, atol=1e-6, rtol=1e-3)


def test_boxes_are_rescaled_to_the_original_image(build) -> None:
    head = build()
    for result, rescaled in zip(predict(head), predict(head, rescale=True), strict=True):
        torch.testing.assert_close(result.bboxes, 2 * rescaled.bboxes)
        assert torch.equal(result.scores, rescaled.scores)


def test_scores_that_are_not_finite_are_an_error_with_the_image(build) -> None:
    head = build()
    samples = [DetDataSample(metainfo=dict(img_shape=(64, 64), scale_factor=1.0, img_path=f"{i}.jpg")) for i in (0, 1)]
    dense = dense_map(2)
    dense[1] = torch.inf
    with pytest.raises(ValueError, match=r"1\.jpg: the model's scores are not finite"), torch.no_grad():
        head.predict(pyramid(2), [InstanceData(bboxes=b) for b in BOXES], samples, dense=dense)


@pytest.mark.parametrize("sizes", [(0, 1), (0, 0)])
def test_images_without_proposals_give_empty_results(build, sizes: tuple[int, int]) -> None:
    results = predict(build(), tuple(torch.tensor([[0.0, 0.0, 30.0, 30.0]])[:size] for size in sizes))
    assert [len(result) > 0 for result in results] == [size > 0 for size in sizes]
    assert all(result.bboxes.shape[1] == 4 for result in results)


def test_masks_follow_the_boxes(build) -> None:
    head = build(
        mask_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=0),
            out_channels=16,
            featmap_strides=[2, 4, 8, 16],
        ),
        mask_head=dict(
            type="FCNMaskHead",
            num_convs=1,
            in_channels=16,
            conv_out_channels=16,
            num_classes=3,
            class_agnostic=True,
            loss_mask=dict(type="CrossEntropyLoss", use_mask=True),
        ),
    )
    head.test_cfg.mask_thr_binary = 0.5
    samples = [DetDataSample(metainfo=dict(img_shape=(64, 64), ori_shape=(32, 32), scale_factor=(2.0, 2.0)))]
    with torch.no_grad():
        proposals = [InstanceData(bboxes=BOXES[0])]
        (result,) = head.predict(pyramid(1), proposals, samples, rescale=True, dense=dense_map(1))
    assert len(result) > 0
    assert result.masks.shape == (len(result), 32, 32)
    assert result.bboxes.max() <= 32


@pytest.mark.parametrize(
    "option",
    [dict(out_channels=64), dict(featmap_strides=[8, 16]), dict(roi_layer=dict(type="RoIAlign", output_size=7))],
)
def test_wrong_extractor_is_named(build, fvit_config, option) -> None:
    with pytest.raises(ValueError, match="vlm_roi_extractor"):
        build(vlm_roi_extractor={**fvit_config.roi_head.vlm_roi_extractor, **option})
