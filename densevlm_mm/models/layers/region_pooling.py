"""Region features from a dense map: RoIAlign for boxes, averages for masks."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import roi_align


def boxes_to_rois(boxes_norm_xyxy: Sequence[Tensor], size: Sequence[int], device: torch.device) -> Tensor:
    """Put the boxes of a batch of images into the form that RoIAlign takes.

    Args:
        boxes_norm_xyxy: B tensors (R_i, 4), corners as fractions of the image or map, on any device.
        size: Height and width of the image or map.
        device: Where the result is.

    Returns:
        (sum R_i, 5) float32: image index, x1, y1, x2, y2 in pixels (or cells), in the order of the images.
    """
    height, width = size
    # Made on the CPU and sent without waiting: a tensor made of numbers on a GPU makes the host wait for it.
    scale = torch.tensor([width, height, width, height], dtype=torch.float32).to(device, non_blocking=True)
    index_R = image_indices([len(boxes) for boxes in boxes_norm_xyxy], device)
    boxes_R4 = torch.cat(list(boxes_norm_xyxy)).to(device, torch.float32, non_blocking=True)
    return torch.cat([index_R[:, None].to(torch.float32), boxes_R4 * scale], dim=1)


def image_indices(sizes: Sequence[int], device: torch.device) -> Tensor:
    """Which image of the batch each region belongs to.

    Args:
        sizes: Number of regions of each image.
        device: Where the result is.

    Returns:
        (sum of sizes,) int64, ascending.
    """
    counts = torch.tensor(sizes, dtype=torch.int64)
    index_R = torch.arange(len(sizes)).repeat_interleave(counts, output_size=sum(sizes))
    return index_R.to(device, non_blocking=True)


def pool_boxes(dense: Tensor, boxes_norm_xyxy: Sequence[Tensor], size: int = 1) -> Tensor:
    """Pool every box of every image by RoIAlign (aligned, adaptive sampling), to one feature (Sec. 3.2) or to a grid.

    Args:
        dense: Dense maps (B, D, h, w).
        boxes_norm_xyxy: B tensors (R_i, 4), corners in [0, 1] of the *padded* image that gave the map.
        size: Side of the grid of features that a box is pooled to.

    Returns:
        Features (sum R_i, D, size, size), and (sum R_i, D) for size 1; in the order of the images, float32, not
        normalised.
    """
    rois = boxes_to_rois(boxes_norm_xyxy, dense.shape[-2:], dense.device)
    pooled = roi_align(dense.float(), rois, output_size=size, spatial_scale=1.0, sampling_ratio=-1, aligned=True)
    return pooled.flatten(1) if size == 1 else pooled


def pool_masks(dense: Tensor, masks: Sequence[Tensor]) -> Tensor:
    """Average the dense map over the cells of every mask.

    Args:
        dense: Dense maps (B, D, h, w).
        masks: B boolean tensors (N_i, h, w) on the grid of the map.

    Returns:
        Features (sum N_i, D), float32, not normalised; zeros for a mask without a cell.

    Raises:
        ValueError: If the masks are not on the grid of the dense map.
    """
    features = []
    for map_DHW, masks_NHW in zip(dense, masks, strict=True):
        if masks_NHW.shape[1:] != map_DHW.shape[1:]:
            raise ValueError(
                f"masks are on a {tuple(masks_NHW.shape[1:])} grid and the dense map on {tuple(map_DHW.shape[1:])}; "
                "set the feature_stride of the LoadPanopticRegions transform to the encoder's stride."
            )
        weights_NC = masks_NHW.to(map_DHW.device).flatten(1).float()
        weights_NC = weights_NC / (weights_NC.sum(dim=1, keepdim=True) + 1e-12)
        features.append(weights_NC @ map_DHW.flatten(1).float().T)
    return torch.cat(features)
