import pytest
import torch
from mmcv.ops import box_iou_rotated
from mmcv.ops.info import get_compiler_version, get_compiling_cuda_version

from densevlm_mm.compat import mmcv_ext


def test_operator_without_backing_names_itself_and_the_way_to_get_it() -> None:
    boxes = torch.tensor([[5.0, 5.0, 4.0, 4.0, 0.3]])
    with pytest.raises(NotImplementedError, match=r"'box_iou_rotated'.*mmcv==2\.1\.0.*docs/install\.md"):
        box_iou_rotated(boxes, boxes)


def test_private_names_are_no_operators() -> None:
    assert not hasattr(mmcv_ext, "_anything")
    assert not hasattr(mmcv_ext, "__wrapped__")


def test_build_information_names_the_stand_in() -> None:
    assert "stand-in" in get_compiler_version()
    assert get_compiling_cuda_version() == "not available"
