"""Binary cross-entropy of one logit map a class, CAT-Seg's loss (arXiv 2303.11797)."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

_IGNORED = ("negative", "excluded")


@MODELS.register_module()
class PixelBinaryCrossEntropyLoss(nn.Module):
    """Mean over images, classes and pixels of the binary cross-entropy with the one-hot ground truth.

    Args:
        ignore_labels: Labels of pixels without ground truth: 8-bit and 16-bit maps mark them differently. One that is
            the number of a class is a class.
        ignored: What such pixels are: 'negative' for every class (the published training), or 'excluded' from the mean.
        loss_weight: Factor on the loss.

    Raises:
        ValueError: If ``ignored`` is another one.
    """

    def __init__(
        self,
        ignore_labels: Sequence[int] = (255, 65535),
        ignored: Literal["negative", "excluded"] = "negative",
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if ignored not in _IGNORED:
            raise ValueError(f"ignored must be one of {_IGNORED}, got {ignored!r}")
        self.ignore_labels, self.ignored, self.loss_weight = tuple(ignore_labels), ignored, loss_weight

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss, in float32.

        Args:
            logits: (B, T, H, W).
            labels: (B, H, W) int64, classes 0 to T - 1 or ignore labels.

        Returns:
            A scalar; a differentiable zero if nothing counts.

        Raises:
            ValueError: If a label is neither a class nor an ignore label.
        """
        num_classes = logits.shape[1]
        is_class = (labels >= 0) & (labels < num_classes)
        known = is_class.clone()
        for label in self.ignore_labels:
            known |= labels == label
        if not known.all():
            strange = labels[~known].unique().tolist()
            raise ValueError(
                f"label(s) {strange[:8]} are neither one of the {num_classes} classes nor in {self.ignore_labels}: the "
                "data set's labels do not belong to model.class_embeddings.vocabulary"
            )
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits.float()
            # BCE(z, y) = softplus(z) - z y: with a one-hot target the second term is a single logit a pixel.
            target_logits = logits.gather(1, labels.where(is_class, 0)[:, None])[:, 0]
            positive = target_logits.where(is_class, 0.0).sum()
            if self.ignored == "negative":
                return self.loss_weight * (F.softplus(logits).sum() - positive) / logits.numel()
            total = (F.softplus(logits).sum(dim=1) * is_class).sum() - positive
            return self.loss_weight * total / (is_class.sum().clamp(min=1) * num_classes)
