"""The operators on every device and in every type that callers use, against torchvision or double precision."""

import torch
import torchvision
from mmcv.ops import batched_nms, bbox_overlaps, modulated_deform_conv2d, roi_align, sigmoid_focal_loss
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttention
from torch import Tensor

ROIS = torch.tensor([[0.0, 1.3, 2.1, 9.4, 8.8], [1, 0.0, 0.0, 11.0, 11.0], [1, 4.2, 3.0, 7.1, 9.9]])
BOXES = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 40], [0, 0, 10, 10]])


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def assert_close(found: Tensor, exact: Tensor, device: torch.device, tolerance: dict) -> None:
    assert found.device.type == device.type
    torch.testing.assert_close(found.double().cpu(), exact.double(), **tolerance)


def test_roi_align_and_its_gradient(device, dtype, tolerance) -> None:
    image = normal(2, 3, 12, 13).to(dtype)
    exact, mine = image.double().requires_grad_(), image.to(device).requires_grad_()
    pooled = roi_align(mine, ROIS.to(device, dtype), 3, 1.0, 2, "avg", True)
    expected = torchvision.ops.roi_align(exact, ROIS.to(dtype).double(), 3, 1.0, 2, aligned=True)
    assert pooled.dtype == dtype
    assert_close(pooled, expected, device, tolerance)
    pooled.float().sum().backward()
    expected.sum().backward()
    assert_close(mine.grad, exact.grad, device, dict(rtol=tolerance["rtol"], atol=10 * tolerance["atol"]))


def test_box_overlaps(device) -> None:
    found = bbox_overlaps(BOXES.to(device), BOXES[:2].to(device))
    assert_close(found, torchvision.ops.box_iou(BOXES.double(), BOXES[:2].double()), device, dict(rtol=1e-5, atol=1e-6))


def test_suppression_within_classes(device) -> None:
    scores, classes = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([0, 0, 0, 1])
    dets, kept = batched_nms(
        BOXES.to(device), scores.to(device), classes.to(device), dict(type="nms", iou_threshold=0.5)
    )
    assert kept.tolist() == [0, 2, 3]
    assert dets.device.type == device.type


def test_focal_loss(device, dtype, tolerance) -> None:
    logits, target = normal(6, 4).to(dtype), torch.tensor([0, 1, 2, 3, 4, 4])
    mine = logits.to(device).requires_grad_()
    loss = sigmoid_focal_loss(mine, target.to(device), 2.0, 0.25, None, "none")
    one_hot = torch.nn.functional.one_hot(target, 5)[:, :4].double()  # the last is the background
    exact = torchvision.ops.sigmoid_focal_loss(logits.double(), one_hot, alpha=0.25, gamma=2.0)
    assert_close(loss, exact, device, tolerance)
    loss.float().sum().backward()
    assert mine.grad.isfinite().all()


def test_deformable_convolution(device, dtype, tolerance) -> None:
    x, offset, weight = (value.to(dtype) for value in (normal(1, 4, 6, 7), normal(1, 18, 6, 7), normal(6, 4, 3, 3)))
    mask = normal(1, 9, 6, 7).sigmoid().to(dtype)
    found = modulated_deform_conv2d(*(v.to(device) for v in (x, offset, mask, weight)), None, 1, 1, 1, 1, 1)
    exact = torchvision.ops.deform_conv2d(
        *(v.double() for v in (x, offset, weight)), padding=(1, 1), mask=mask.double()
    )
    assert_close(found / exact.std().item(), exact / exact.std(), device, tolerance)


def test_deformable_attention(device, autocast, tolerance) -> None:
    torch.manual_seed(0)
    layer = MultiScaleDeformableAttention(embed_dims=8, num_heads=2, num_levels=1, num_points=2, batch_first=True)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    layer.eval()
    inputs = dict(
        query=normal(1, 5, 8),
        value=normal(1, 12, 8),
        reference_points=torch.rand(1, 5, 1, 2, generator=torch.Generator().manual_seed(0)),
        spatial_shapes=torch.tensor([[3, 4]]),
        level_start_index=torch.tensor([0]),
    )
    double = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}
    with torch.no_grad():
        exact = layer.double()(**double)
        layer.float().to(device)
        with autocast():
            found = layer(**{k: v.to(device) for k, v in inputs.items()})
    assert_close(found, exact, device, tolerance)
