"""Predictions over a vocabulary whose order is not the data set's."""

from functools import lru_cache

import torch
from mmengine.logging import print_log
from torch import Tensor

from densevlm_mm.vocabulary.class_matching import renumbering


@lru_cache(maxsize=16)
def model_numbering(
    names: tuple[str, ...], classes: tuple[str, ...], synonyms: tuple[tuple[str, ...], ...] | None = None
) -> Tensor | None:
    """Which class of the data set each class of a model is, by name; logged once where the orders differ.

    Args:
        names: K classes of the model, in the order of its predictions.
        classes: K classes of the data set.
        synonyms: The names of each class of the data set; default: the display names parted at their commas.

    Returns:
        (K,) int64; None if the orders are the same.

    Raises:
        ValueError: If they differ, and the names do not tell which class is which.
    """
    try:
        numbering = renumbering(names, classes, synonyms)
    except ValueError as error:
        raise ValueError(f"the model's classes are not in the order of the data set's: {error}") from error
    if numbering is None:
        return None
    print_log("the model's classes are in another order than the data set's: matched by name", "current")
    return torch.tensor(numbering)
