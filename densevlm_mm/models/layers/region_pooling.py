"""Region features from a dense map: RoIAlign for boxes, averages for masks."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import roi_align


def pool_boxes(dense: Tensor, boxes_norm_xyxy: Sequence[Tensor]) -> Tensor:
    """Pool every box of every image to one feature (RoIAlign to 1x1, aligned, adaptive sampling; Sec. 3.2).

    Args:
        dense: Dense maps (B, D, h, w).
        boxes_norm_xyxy: B tensors (R_i, 4), corners in [0, 1] of the *padded* image that gave the map.

    Returns:
        Features (sum R_i, D) in the order of the images, float32, not normalised.
    """
    height, width = dense.shape[-2:]
    scale = dense.new_tensor([width, height, width, height], dtype=torch.float32)
    boxes = [boxes.to(dense.device, torch.float32, non_blocking=True) * scale for boxes in boxes_norm_xyxy]
    return roi_align(dense.float(), boxes, output_size=1, spatial_scale=1.0, sampling_ratio=-1, aligned=True).flatten(1)


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
                "set the "
                "feature_stride of the LoadPanopticRegions transform to the encoder's stride."
            )
        weights_NC = masks_NHW.to(map_DHW.device).flatten(1).float()
        weights_NC = weights_NC / (weights_NC.sum(dim=1, keepdim=True) + 1e-12)
        features.append(weights_NC @ map_DHW.flatten(1).float().T)
    return torch.cat(features)
