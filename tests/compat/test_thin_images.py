from typing import Any

import mmcv
import numpy as np
import pytest
import torch
from mmdet.datasets.transforms import Resize as DetResize
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import TRANSFORMS, DefaultScope

from densevlm_mm.compat.thin_images import take_thin_images

take_thin_images()


def run(scope: str, config: dict, height: int, width: int, **results: Any) -> dict:
    with DefaultScope.overwrite_default_scope(scope):
        transform = TRANSFORMS.build(config)
    image = np.full((height, width, 3), 7, np.uint8)
    return transform(dict(img=image, img_shape=(height, width), **results))


@pytest.mark.parametrize(("height", "width"), [(2, 600), (600, 2), (1, 5000), (5000, 1)])
@pytest.mark.parametrize(
    ("scope", "config"),
    [
        ("mmdet", dict(type="Resize", scale=(64, 64), keep_ratio=True)),
        ("mmdet", dict(type="RandomResize", scale=(64, 64), ratio_range=(0.1, 0.2), keep_ratio=True)),
        ("mmseg", dict(type="Resize", scale=(64, 64), keep_ratio=True)),
        ("mmseg", dict(type="ResizeShortestEdge", scale=64, max_size=256)),
        ("mmseg", dict(type="RandomChoiceResize", scales=[8], resize_type="ResizeShortestEdge", max_size=40)),
    ],
)
def test_no_side_becomes_0(scope: str, config: dict, height: int, width: int) -> None:
    """[thin_image]"""
    resized = run(scope, config, height, width)
    shape = resized["img"].shape[:2]
    assert min(shape) == 1
    assert np.argmax(shape) == np.argmax((height, width))
    assert resized["img_shape"] == shape
    assert resized["scale_factor"] == (shape[1] / width, shape[0] / height)


def test_boxes_and_masks_of_a_thin_image_follow() -> None:
    results = dict(
        img=np.zeros((2, 600, 3), np.uint8),
        img_shape=(2, 600),
        gt_bboxes=HorizontalBoxes(np.array([[300.0, 0, 600, 2]])),
        gt_masks=BitmapMasks(np.ones((1, 2, 600), np.uint8), 2, 600),
    )
    resized = DetResize(scale=(64, 64), keep_ratio=True)(results)
    assert resized["img"].shape == (1, 64, 3)
    assert resized["gt_bboxes"].tensor.tolist() == [[32, 0, 64, 1]]
    assert resized["gt_masks"].masks.shape == (1, 1, 64)


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal"])
@pytest.mark.parametrize("shape", [(5, 1, 3), (1, 5, 3), (1, 1), (4, 5, 3)])
def test_flipped_images_can_be_tensors(shape: tuple[int, ...], direction: str) -> None:
    image = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    flipped = mmcv.imflip(image, direction)
    axes = dict(horizontal=1, vertical=0, diagonal=(0, 1))[direction]
    np.testing.assert_array_equal(flipped, np.flip(image, axes))
    if flipped.flags.c_contiguous:  # then mmdet and mmseg hand it to torch as it is
        torch.from_numpy(flipped)


def test_other_sizes_are_as_before() -> None:
    original = mmcv.rescale_size.__closure__[0].cell_contents  # what mmcv itself has
    for size in ((640, 480), (333, 500), (64, 64), (7, 3)):
        for scale in ((1333, 800), (64, 64), 0.5, 2):
            assert mmcv.rescale_size(size, scale) == original(size, scale)
            assert mmcv.rescale_size(size, scale, return_scale=True) == original(size, scale, return_scale=True)
    with pytest.raises(ValueError, match="must be positive"):
        mmcv.rescale_size((5, 5), 0)


def test_mending_twice_is_mending_once() -> None:
    once = mmcv.rescale_size
    take_thin_images()
    assert mmcv.rescale_size is once
