"""Whether positions of one segment are more alike than positions of different ones."""

import torch
from torch import Tensor
from torch.nn import functional

# D channels, P labelled positions.

_LEVELS = 2**16  # of cosines from -1 to 1


def coherence_auc(dense: Tensor, segments: Tensor) -> Tensor:
    """How well the cosine of two positions tells whether they belong to the same segment.

    The area under the ROC curve over all pairs of labelled positions of an image, that is the probability that a pair
    of one segment is more alike than a pair of two; pairs whose cosines are equal to 2 ** -15 count one half. It needs
    no text and no threshold: 1 for a map that is constant within segments and different between them, 0.5 for noise.

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
    # Counted by level, not sorted: a third of the time, and rounding does not order what is equal. What is
    # not finite has no level; the check of the region scores reports it.
    levels_PP = ((cosines_PP.nan_to_num() + 1) * (_LEVELS / 2)).round().clamp(0, _LEVELS).long()
    levels_PP += (segment_P[:, None] == segment_P) * (_LEVELS + 1)
    counts, of_itself = (
        torch.bincount(levels.flatten(), minlength=2 * (_LEVELS + 1)) for levels in (levels_PP, levels_PP.diagonal())
    )
    different, same = (counts - of_itself).double().view(2, _LEVELS + 1)
    less_alike = different.cumsum(0) - different / 2
    return ((same * less_alike).sum() / (same.sum() * different.sum())).float()
