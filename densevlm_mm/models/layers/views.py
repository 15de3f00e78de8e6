"""Views: the part of an image that its global embedding is taken of."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torchvision.ops import roi_align

from densevlm_mm.models.layers.region_pooling import boxes_to_rois

# B images, S side of the canvas.

View = Literal["centre", "whole"]


def check_view(view: str) -> None:
    """Raise ValueError unless there is such a view."""
    if view not in ("centre", "whole"):
        raise ValueError(f"view must be 'centre' or 'whole', got {view!r}.")


def view_box(img_shape: Sequence[int], canvas_shape: Sequence[int], view: View = "centre", min_side: int = 1) -> Tensor:
    """Choose the part of an image that its view is cut from; never a part of the padding.

    Args:
        img_shape: Height and width in pixels of the image area, which lies at the canvas's top left.
        canvas_shape: Height and width of the canvas.
        view: ``'centre'``, the largest centred square, which CLIP's own preprocessing takes; or ``'whole'``, the whole
            image area, which a square view stretches.
        min_side: The shortest side in pixels of an image area that has a view, a patch of the encoder.

    Returns:
        (4,) float32, ``x1, y1, x2, y2`` as fractions of the canvas; zeros for an image that has no view.
    """
    (height, width), (canvas_h, canvas_w) = img_shape, canvas_shape
    side = min(height, width)
    if side < min_side:
        return torch.zeros(4)
    view_h, view_w = (side, side) if view == "centre" else (height, width)
    x1, y1 = (width - view_w) / 2, (height - view_h) / 2
    return torch.tensor([x1 / canvas_w, y1 / canvas_h, (x1 + view_w) / canvas_w, (y1 + view_h) / canvas_h])


def has_view(view_norm_xyxy: Tensor) -> Tensor:
    """Which of the boxes (B, 4) that :func:`view_box` gives are views, boolean (B,)."""
    return view_norm_xyxy[:, 2] > view_norm_xyxy[:, 0]


def cut_views(images: Tensor, view_norm_xyxy: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Cut the views of a batch by RoIAlign (aligned, adaptive sampling: an average over areas where it scales down).

    Args:
        images: Normalised canvases (B, 3, S, S).
        view_norm_xyxy: (B, 4), see :func:`view_box`.
        size: Side of the views, or height and width; an encoder's native size.

    Returns:
        (B, 3, size, size) float32; zeros for an image without a view.
    """
    rois = boxes_to_rois(view_norm_xyxy.split(1), images.shape[-2:], images.device)
    return roi_align(images.float(), rois, output_size=size, sampling_ratio=-1, aligned=True)
