"""Cosines of region features with class embeddings, in full precision."""

import torch
import torch.nn.functional as F
from torch import Tensor


def text_similarity(features: Tensor, text: Tensor) -> Tensor:
    """Compare features with class embeddings.

    Runs in float32 even under autocast: bfloat16 has 8 bits, which divided by a temperature of 0.01 are steps of 0.4 in
    a logit.

    Args:
        features: Region features (R, D), any norm.
        text: Class embeddings (K, D); of unit norm for cosines, a norm below 1 scales a class's column.

    Returns:
        Similarities (R, K), float32.
    """
    with torch.autocast(features.device.type, enabled=False):
        return F.normalize(features.float(), dim=-1) @ text.float().T
