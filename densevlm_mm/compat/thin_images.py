"""Lets mmcv's resize transforms take images that are much longer than wide.

What breaks: scaling with ``keep_ratio=True`` rounds the short side of such an image to 0 pixels, on which OpenCV stops
(``inv_scale_x > 0``): a panorama of 600 x 2 pixels ends a run. mmseg's ``ResizeShortestEdge`` asks for a side of 0.
Upstream: reported and mended for mmocr only, https://github.com/open-mmlab/mmocr/pull/1200; mmcv has it still.
Needed by: mmcv 2.1.0 (and 2.2.0), under mmdet's and mmseg's transforms and masks.

The side is 1 pixel instead. Nothing changes for an image whose sides do not round to 0.
"""

from typing import Any

_NAME = "rescale_size"


def keep_sides_positive() -> None:
    """Mend ``mmcv.rescale_size`` wherever mmcv has it. Imports mmcv, unlike :func:`densevlm_mm.compat.install`."""
    import mmcv
    from mmcv.image import geometric

    original = geometric.rescale_size
    if getattr(original, "keeps_sides_positive", False):
        return

    def rescale_size(old_size: tuple, scale: Any, return_scale: bool = False) -> tuple:
        """As mmcv's, with sides of at least 1."""
        if isinstance(scale, tuple):
            scale = tuple(max(1, side) for side in scale)
        (width, height), factor = original(old_size, scale, return_scale=True)
        new_size = max(1, width), max(1, height)
        return (new_size, factor) if return_scale else new_size

    rescale_size.keeps_sides_positive = True  # type: ignore[attr-defined]
    for module in (mmcv, mmcv.image, geometric):
        setattr(module, _NAME, rescale_size)
