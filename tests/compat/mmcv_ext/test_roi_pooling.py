import math

import pytest
import torch
import torch.nn.functional as F
import torchvision
from mmcv.ops import RoIAlign, roi_align, roi_pool
from torch import Tensor

ROIS = torch.tensor([[0.0, 1.3, 2.1, 9.4, 8.8], [1, 0.0, 0.0, 11.0, 11.0], [1, 4.2, 3.0, 7.1, 9.9]])


def features(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(2, 3, 12, 13, generator=torch.Generator().manual_seed(0)).to(dtype)


def align_by_grid_sample(image: Tensor, roi: Tensor, size: int, scale: float, samples: int, aligned: bool) -> Tensor:
    height, width = image.shape[-2:]
    x1, y1, x2, y2 = (roi[1:] * scale - (0.5 if aligned else 0.0)).tolist()
    steps = (torch.arange(size * samples) + 0.5) / (size * samples)
    xs = (x1 + steps * (x2 - x1)).clamp(min=0)
    ys = (y1 + steps * (y2 - y1)).clamp(min=0)
    grid = torch.stack(torch.meshgrid(xs * 2 / (width - 1) - 1, ys * 2 / (height - 1) - 1, indexing="xy"), dim=-1)
    values = F.grid_sample(image[int(roi[0])][None], grid[None], align_corners=True, padding_mode="border")
    return F.avg_pool2d(values, samples)[0]


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("scale", [1.0, 1 / 1.7])
def test_roi_align_agrees_with_bilinear_samples(aligned: bool, scale: float) -> None:
    image = features()
    pooled = roi_align(image, ROIS, 4, scale, 2, "avg", aligned)
    expected = torch.stack([align_by_grid_sample(image, roi, 4, scale, 2, aligned) for roi in ROIS])
    torch.testing.assert_close(pooled, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_roi_align_and_its_gradient_agree_with_torchvision(sampling_ratio: int) -> None:
    ours, theirs = features().requires_grad_(), features().requires_grad_()
    pooled = RoIAlign((3, 2), 0.5, sampling_ratio)(ours, ROIS)
    expected = torchvision.ops.roi_align(theirs, ROIS, (3, 2), 0.5, sampling_ratio, aligned=True)
    torch.testing.assert_close(pooled, expected)
    weights = torch.randn_like(pooled)
    (pooled * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_roi_align_in_reduced_precision_computes_in_float32_and_rounds_once(dtype: torch.dtype) -> None:
    image = features(dtype).requires_grad_()
    pooled = roi_align(image, ROIS, 3, 1.0, 2, "avg", True)
    assert pooled.dtype == dtype
    exact = torchvision.ops.roi_align(image.detach().float(), ROIS, 3, 1.0, 2, aligned=True)
    torch.testing.assert_close(pooled, exact.to(dtype), rtol=0, atol=0)
    pooled.sum().backward()
    assert image.grad is not None
    assert image.grad.dtype == dtype
    assert image.grad.float().sum() == pytest.approx(pooled.numel(), rel=2e-2)


def test_roi_align_under_cpu_autocast() -> None:
    convolution = torch.nn.Conv2d(3, 3, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = roi_align(convolution(features()), ROIS, 3, 1.0, 2, "avg", True)
    pooled.float().sum().backward()
    assert pooled.dtype == torch.bfloat16
    assert convolution.weight.grad is not None
    assert convolution.weight.grad.isfinite().all()


def test_roi_align_gradient_is_that_of_finite_differences() -> None:
    image = features(torch.float64)[:, :1].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: roi_align(x, ROIS.double(), 2, 1.0, 2, "avg", True), image)


def test_roi_align_without_boxes() -> None:
    image = features().requires_grad_()
    pooled = roi_align(image, torch.zeros(0, 5), 3)
    assert pooled.shape == (0, 3, 3, 3)
    pooled.sum().backward()
    assert image.grad is not None
    assert not image.grad.any()


def test_roi_align_by_maximum_says_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match="pool_mode='max'"):
        roi_align(features(), ROIS, 3, 1.0, 2, "max", True)


def pool_by_loops(image: Tensor, roi: Tensor, size: int, scale: float) -> Tensor:
    height, width = image.shape[-2:]
    x1, y1 = (roi[1:3] * scale).tolist()
    x2, y2 = ((roi[3:5] + 1) * scale).tolist()
    out = torch.zeros(image.shape[1], size, size)
    for row in range(size):
        for column in range(size):
            top, bottom = math.floor(y1 + row * (y2 - y1) / size), math.ceil(y1 + (row + 1) * (y2 - y1) / size)
            left, right = math.floor(x1 + column * (x2 - x1) / size), math.ceil(x1 + (column + 1) * (x2 - x1) / size)
            window = image[int(roi[0]), :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
            if window.numel():
                out[:, row, column] = window.amax((1, 2))
    return out


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_roi_pool_agrees_with_loops(scale: float) -> None:
    image = features()
    outside = torch.tensor([[0.0, 9.0, 9.0, 25.0, 25.0]])
    rois = torch.cat([ROIS, outside])
    expected = torch.stack([pool_by_loops(image, roi, 3, scale) for roi in rois])
    torch.testing.assert_close(roi_pool(image, rois, 3, scale), expected)


def test_roi_pool_gradient_is_that_of_finite_differences() -> None:
    image = features(torch.float64)[:, :2, :6, :6].contiguous().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: roi_pool(x, ROIS.double(), 2, 0.4), image)


def test_roi_pool_of_a_malformed_box_is_zero_and_has_no_gradient() -> None:
    image = features().requires_grad_()
    pooled = roi_pool(image, torch.tensor([[0.0, 8.0, 8.0, 2.0, 2.0]]), 2)
    pooled.sum().backward()
    assert not pooled.any()
    assert image.grad is not None
    assert not image.grad.any()
