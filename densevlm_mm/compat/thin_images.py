"""Lets the transforms of mmcv, mmdet and mmseg take images that are much longer than wide.

What breaks: scaling with ``keep_ratio=True`` rounds the short side of such an image to 0 pixels, on which OpenCV stops
(``inv_scale_x > 0``): a panorama of 600 x 2 pixels ends a run. mmseg's ``ResizeShortestEdge`` asks for a side of 0.
Flipping an image of one column gives an array that numpy calls contiguous although its strides are negative, which
torch refuses when the sample is packed.
Upstream: reported and mended for mmocr only, https://github.com/open-mmlab/mmocr/pull/1200; mmcv has it still.
Needed by: mmcv 2.1.0 (and 2.2.0), under mmdet's and mmseg's transforms and masks.

The side is 1 pixel instead. Nothing changes for an image whose sides do not round to 0.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

_MENDED = "takes_thin_images"


def take_thin_images() -> None:
    """Mend ``mmcv.rescale_size`` and ``mmcv.imflip``. Imports mmcv, unlike :func:`densevlm_mm.compat.install`."""
    from mmcv.image import geometric

    if not hasattr(geometric.rescale_size, _MENDED):
        _replace("rescale_size", _with_positive_sides(geometric.rescale_size))
        _replace("imflip", _with_plain_strides(geometric.imflip))


def _replace(name: str, function: Callable) -> None:
    import mmcv
    from mmcv.image import geometric

    setattr(function, _MENDED, True)
    for module in (mmcv, mmcv.image, geometric):
        setattr(module, name, function)


def _with_positive_sides(original: Callable) -> Callable:
    def rescale_size(old_size: tuple, scale: Any, return_scale: bool = False) -> tuple:
        """As mmcv's, with sides of at least 1."""
        if isinstance(scale, tuple):
            scale = tuple(max(1, side) for side in scale)
        (width, height), factor = original(old_size, scale, return_scale=True)
        new_size = max(1, width), max(1, height)
        return (new_size, factor) if return_scale else new_size

    return rescale_size


def _with_plain_strides(original: Callable) -> Callable:
    def imflip(img: np.ndarray, direction: str = "horizontal") -> np.ndarray:
        """As mmcv's, copied where torch could not read it."""
        flipped = original(img, direction)
        return flipped.copy() if 1 in img.shape[:2] else flipped

    return imflip
