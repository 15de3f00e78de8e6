"""Whether positions of one segment are more alike than positions of different ones."""

import torch
from torch import Tensor
from torch.nn import functional

# D channels, P labelled positions.


def coherence_auc(dense: Tensor, segments: Tensor) -> Tensor:
    """How well the cosine of two positions tells whether they belong to the same segment.

    The area under the ROC curve over all pairs of labelled positions of an image, that is the probability that a pair
    of one segment is more alike than a pair of two; equally alike pairs count one half. It needs no text and no
    threshold: 1 for a map that is constant within segments and different between them, 0.5 for noise.

    Args:
        dense: Dense map (D, h, w), any norm.
        segments: Segment of each position (h, w) int64; negative for positions that do not count.

    Returns:
        Scalar float32 in [0, 1]; NaN unless there are pairs of both kinds.

    Raises:
        ValueError: If the segments are not on the grid of the dense map.
    """
    if segments.shape != dense.shape[1:]:
        raise ValueError(
            f"segments are on a {tuple(segments.shape)} grid and the dense map on {tuple(dense.shape[1:])}; set the "
            "feature_stride of the LoadPanopticRegions transform to the encoder's stride."
        )
    segments = segments.to(dense.device)
    labelled = segments >= 0
    segment_P = segments[labelled]
    with torch.autocast(dense.device.type, enabled=False):
        unit_PD = functional.normalize(dense[:, labelled].float().T, dim=1)
        cosines_PP = unit_PD @ unit_PD.T
    each_once_PP = torch.ones_like(cosines_PP, dtype=torch.bool).triu(diagonal=1)
    same_PP = segment_P[:, None] == segment_P
    same = cosines_PP[each_once_PP & same_PP].sort().values
    different = cosines_PP[each_once_PP & ~same_PP].sort().values
    # For each pair of one segment, how many pairs of two are less alike; sorted, they are looked up faster.
    below = torch.searchsorted(different, same) + torch.searchsorted(different, same, right=True)
    return (below.double().mean() / (2 * len(different))).float()
