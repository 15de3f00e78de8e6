"""Softmax over some of the classes."""

from torch import Tensor

_EXCLUDED = -1e4  # a logit that softmax turns into exactly 0 in float32, and that keeps 0 * log(q) finite


def exclude(logits: Tensor, excluded: Tensor) -> Tensor:
    """Take entries out of the softmax of logits; of a row without any other its result says nothing, and is finite.

    Args:
        logits: Any shape.
        excluded: Boolean, of the same shape.
    """
    return logits.masked_fill(excluded, _EXCLUDED)
