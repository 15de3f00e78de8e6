import pytest
import torch
import torchvision
from mmcv.ops import bbox_overlaps

from densevlm_mm.compat.mmcv_ext import bbox_overlaps as overlaps_into

A = torch.tensor([[0.0, 0, 10, 10], [10, 10, 20, 20], [32, 32, 38, 42]])
B = torch.tensor([[0.0, 0, 10, 20], [0, 10, 10, 19], [10, 10, 20, 20], [5, 5, 15, 12]])


def test_pairs_agree_with_torchvision() -> None:
    torch.testing.assert_close(bbox_overlaps(A, B), torchvision.ops.box_iou(A, B))


def test_aligned_is_the_diagonal() -> None:
    torch.testing.assert_close(bbox_overlaps(A, B[:3], aligned=True), torchvision.ops.box_iou(A, B[:3]).diagonal())


def test_offset_counts_pixels_inclusively() -> None:
    grow = torch.tensor([0.0, 0, 1, 1])
    torch.testing.assert_close(bbox_overlaps(A, B, offset=1), torchvision.ops.box_iou(A + grow, B + grow))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_foreground_mode_divides_by_the_first_box(dtype: torch.dtype) -> None:
    out = torch.empty(1, 1, dtype=dtype)
    overlaps_into(A[:1].to(dtype), torch.tensor([[5.0, 0, 30, 10]], dtype=dtype), out, mode=1, aligned=False, offset=0)
    assert out.item() == 0.5
