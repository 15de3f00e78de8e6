"""Resizing to a square canvas without changing the aspect ratio."""

import numpy as np
import torch
from mmcv.transforms import Pad, Resize
from torch.nn import functional

from densevlm_mm.registry import TRANSFORMS


def longest_side_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Shape after scaling the longer side to ``size``, halves rounded up, no side below 1.

    Args:
        height: Rows before.
        width: Columns before.
        size: The longer side afterwards.

    Returns:
        Rows and columns afterwards.
    """
    scale = size / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def boxes_on_canvas(boxes: np.ndarray, img_shape: tuple[int, int], pad_shape: tuple[int, int]) -> np.ndarray:
    """Bring boxes from the frame of the image area into that of the canvas.

    Args:
        boxes: (R, 4) x1, y1, x2, y2 as fractions of the image area, which lies at the canvas's top left.
        img_shape: Height and width of the image area.
        pad_shape: Height and width of the canvas.

    Returns:
        (R, 4) float32, fractions of the canvas.
    """
    (img_h, img_w), (pad_h, pad_w) = img_shape, pad_shape
    return (boxes * np.array([img_w / pad_w, img_h / pad_h] * 2)).astype(np.float32)


@TRANSFORMS.register_module()
class ResizeLongestSide(Resize):
    """Scale the image so that its longer side is ``size`` (DenseVLM, section 4.1: 512 px, bicubic).

    The default is antialiased like Pillow's resize, with which CLIP models are trained (equal to it within one grey
    level, at a fifth of its time). mmcv's own Resize makes sides of 0 pixels out of very elongated images; here they
    are at least 1.

    Changes ``img``, ``img_shape`` and, where present, ``gt_bboxes``, ``gt_seg_map`` and ``gt_keypoints``; adds
    ``scale``, ``scale_factor`` (width, height) and ``keep_ratio``.

    Args:
        size: The longer side afterwards, in pixels.
        interpolation: ``bicubic`` or ``bilinear``; without antialiasing any of mmcv's for OpenCV.
        antialias: Low-pass before down-scaling. ``False`` is OpenCV's resize.

    Raises:
        ValueError: ``size`` below 1, or an interpolation that cannot be antialiased.
    """

    image_arguments: tuple[str, ...] = ("size", "interpolation", "antialias")  # docs/teacher_cache.md

    def __init__(self, size: int = 512, interpolation: str = "bicubic", antialias: bool = True) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1 pixel, not {size}")
        if antialias and interpolation not in ("bicubic", "bilinear"):
            raise ValueError(f"antialias=True works with 'bicubic' and 'bilinear', not {interpolation!r}")
        super().__init__(scale=size, interpolation=interpolation)
        self.size = size
        self.antialias = antialias

    def transform(self, results: dict) -> dict:
        """Resize the image and the boxes, label map and key points that there are.

        Args:
            results: Must hold ``img`` (h, w, c).

        Returns:
            ``results``, changed.
        """
        height, width = results["img"].shape[:2]
        new_h, new_w = longest_side_shape(height, width, self.size)
        results["scale"] = (new_w, new_h)
        self._resize_img(results)
        self._resize_bboxes(results)
        self._resize_seg(results)
        self._resize_keypoints(results)
        return results

    def _resize_img(self, results: dict) -> None:
        if not self.antialias:
            super()._resize_img(results)
            return
        img = results["img"]
        old_h, old_w = img.shape[:2]
        new_w, new_h = results["scale"]
        if (old_h, old_w) != (new_h, new_w):
            tensor = torch.from_numpy(np.ascontiguousarray(img)).permute(2, 0, 1)[None]
            tensor = functional.interpolate(tensor, (new_h, new_w), mode=self.interpolation, antialias=True)
            results["img"] = tensor[0].permute(1, 2, 0).numpy()
        results["img_shape"] = (new_h, new_w)
        results["scale_factor"] = (new_w / old_w, new_h / old_h)
        results["keep_ratio"] = False


@TRANSFORMS.register_module()
class PadToSquare(Pad):
    """Pad the image at its right and bottom to a square.

    Unlike mmcv's Pad it leaves ``img_shape`` alone: that stays the shape of the image area on the canvas.

    Changes ``img`` and, where present, ``gt_seg_map`` and the frame of the normalised boxes of ``regions``; adds
    ``pad_shape`` (S, S).

    Args:
        size: Side S of the canvas; ``None`` is the image's longer side.
        pad_val: Grey level of the padding, 0 to 255. Black before normalisation, as in the published training.

    Raises:
        ValueError: ``size`` below 1, or the image is larger than the canvas.
    """

    image_arguments: tuple[str, ...] = ("size", "pad_val")  # docs/teacher_cache.md

    def __init__(self, size: int | None = None, pad_val: int = 0) -> None:
        if size is not None and size < 1:
            raise ValueError(f"size must be at least 1 pixel, not {size}")
        super().__init__(size=None if size is None else (size, size), pad_to_square=size is None, pad_val=pad_val)

    def transform(self, results: dict) -> dict:
        """Pad the image, and the label map if there is one.

        Args:
            results: Must hold ``img`` (h, w, c).

        Returns:
            ``results``, changed.
        """
        img_shape = results["img"].shape[:2]
        if self.size is not None and max(img_shape) > self.size[0]:
            raise ValueError(
                f"an image of {img_shape[1]} x {img_shape[0]} does not fit on a canvas of {self.size[0]}: put "
                f"ResizeLongestSide(size={self.size[0]}) before PadToSquare"
            )
        self._pad_img(results)
        self._pad_seg(results)
        results["img_shape"] = img_shape
        results["pad_shape"] = (pad_h, pad_w) = results["pad_shape"][:2]
        if "regions" in results:
            boxes = results["regions"]["boxes_norm_xyxy"]
            results["regions"]["boxes_norm_xyxy"] = boxes_on_canvas(boxes, img_shape, (pad_h, pad_w))
        return results

    def _pad_img(self, results: dict) -> None:
        """Pad the image; one that lies in memory as planes, as ResizeLongestSide leaves it, becomes such a canvas.

        OpenCV would interleave the channels, and packing part them again: half the time of a resize.
        """
        img = results["img"]
        if img.flags.c_contiguous:
            super()._pad_img(results)
            return
        height, width, channels = img.shape
        side = max(height, width) if self.size is None else self.size[0]
        planes = np.full((channels, side, side), self.pad_val.get("img", 0), dtype=img.dtype)
        planes[:, :height, :width] = img.transpose(2, 0, 1)
        results.update(img=planes.transpose(1, 2, 0), pad_shape=(side, side, channels))
