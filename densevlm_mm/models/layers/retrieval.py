"""Retrieval of a category for every region, and denoising (DenseVLM, Sec. 3.2)."""

from typing import NamedTuple

from torch import Tensor


class Retrieval(NamedTuple):
    """What retrieval says of R regions.

    Attributes:
        labels: Best category (R,), int64.
        confidences: Its probability (R,), float32.
        kept: Whether that probability is above the threshold (R,), bool.
    """

    labels: Tensor
    confidences: Tensor
    kept: Tensor


def retrieve(similarities: Tensor, temperature: float = 0.01, threshold: float = 0.0) -> Retrieval:
    """Retrieve the best category of every region, and keep the regions that it is sure of.

    Args:
        similarities: Cosines of R regions with K categories (R, K).
        temperature: Tau, see :func:`check_retrieval`.
        threshold: Theta, see :func:`check_retrieval`.

    Raises:
        ValueError: If temperature or threshold is outside its range.
    """
    check_retrieval(temperature, threshold)
    confidences_R, labels_R = (similarities.float() / temperature).softmax(dim=-1).max(dim=-1)
    return Retrieval(labels_R, confidences_R, confidences_R > threshold)


def check_retrieval(temperature: float, threshold: float = 0.0) -> None:
    """Check the settings of retrieval before there is a region.

    Args:
        temperature: Tau of the softmax over the cosines with all K categories, positive.
        threshold: Theta, in [0, 1). A region is kept if its highest probability is strictly greater.

    Raises:
        ValueError: If one is outside its range.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}; the paper uses 0.01.")
    if not 0 <= threshold < 1:
        raise ValueError(
            f"threshold is a probability in [0, 1), got {threshold}; the paper uses 0.3, 0 keeps all regions."
        )
