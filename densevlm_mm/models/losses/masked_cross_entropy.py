"""Softmax cross-entropy that held-out classes have no part in, the classification loss of F-ViT."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from mmdet.models.losses import accuracy, weight_reduce_loss
from mmdet.registry import MODELS
from torch import Tensor, nn

# R regions, K = C + 1 columns; the last is the background.

_REDUCTIONS = ("none", "mean", "sum")


@MODELS.register_module()
class MaskedCrossEntropyLoss(nn.Module):
    """Cross-entropy over C + 1 columns, without the columns whose weight is 0.

    A class of weight 0 (a novel one) leaves the partition function: its logit becomes minus infinity before the
    softmax, so that neither the loss nor a gradient depends on it. A region labelled with such a class costs nothing.
    The mean divides by ``avg_factor``, the number of sampled regions, not by the sum of the weights as PyTorch's does.

    Args:
        class_weight: C + 1 weights, not negative: 1 for a base class, 0 for a novel one, and the background's, last.
            Default: 1 for all.
        reduction: ``'mean'``, ``'sum'`` or ``'none'``.
        loss_weight: Factor on the loss.

    Raises:
        ValueError: If a weight is negative, the background's is 0, or the reduction is unknown.
    """

    # Read by mmdet's BBoxHead: the logged accuracy is then that of `get_accuracy`.
    custom_activation = True

    class_weight: Tensor | None

    def __init__(
        self,
        class_weight: Sequence[float] | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean",
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if reduction not in _REDUCTIONS:
            raise ValueError(f"reduction must be one of {_REDUCTIONS}, got {reduction!r}.")
        if class_weight is not None and (min(class_weight) < 0 or not class_weight[-1] > 0):
            raise ValueError(
                "class_weight must not be negative, and the background's, the last, must be positive; got a minimum of "
                f"{min(class_weight)} and {class_weight[-1]} for the background."
            )
        self.reduction = reduction
        self.loss_weight = loss_weight
        weight = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float32)
        self.register_buffer("class_weight", weight, persistent=False)

    def forward(
        self,
        pred: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: Literal["none", "mean", "sum"] | None = None,
    ) -> Tensor:
        """Compute the loss, in float32.

        Args:
            pred: Logits (R, C + 1).
            label: Classes (R,), C for the background.
            weight: Weights of the regions (R,).
            avg_factor: What the mean divides by; default: R.
            reduction_override: Takes the place of ``reduction``.

        Returns:
            A scalar, or (R,) for ``'none'``.

        Raises:
            ValueError: If there are not as many class weights as columns, or the reduction is unknown.
        """
        reduction = reduction_override or self.reduction
        if reduction not in _REDUCTIONS:
            raise ValueError(f"reduction_override must be one of {_REDUCTIONS}, got {reduction!r}.")
        weight_K = self._column_weights(pred)
        # A novel label would give inf * 0: let those regions be background of weight 0.
        weight_R = weight_K[label]
        label = label.masked_fill(weight_R == 0, pred.shape[1] - 1)
        loss_R = weight_R * F.cross_entropy(self._masked(pred), label, reduction="none")
        region_weight_R = None if weight is None else weight.float()
        return self.loss_weight * weight_reduce_loss(loss_R, region_weight_R, reduction, avg_factor)

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Top-1 accuracy in percent among the columns that count, for the log."""
        return dict(acc=accuracy(self._masked(cls_score), labels))

    def _column_weights(self, pred: Tensor) -> Tensor:
        if self.class_weight is None:
            return pred.new_ones(pred.shape[1], dtype=torch.float32)
        if len(self.class_weight) != pred.shape[1]:
            raise ValueError(f"{len(self.class_weight)} class weights for logits of {pred.shape[1]} columns.")
        return self.class_weight

    def _masked(self, pred: Tensor) -> Tensor:
        return pred.float().masked_fill(self._column_weights(pred) == 0, -torch.inf)
