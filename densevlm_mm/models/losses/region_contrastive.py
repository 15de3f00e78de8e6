"""Contrastive learning from region-text pairs, in the style of RegionCLIP (arXiv 2112.09106)."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor

from densevlm_mm.models.layers import text_similarity
from densevlm_mm.models.losses.normalizer import mean_over_processes
from densevlm_mm.models.losses.pretraining_loss import PretrainingLoss
from densevlm_mm.registry import MODELS

# R regions, K categories, D channels.


@MODELS.register_module()
class RegionContrastiveLoss(PretrainingLoss):
    """Binary cross entropy of regions with the text of a federated sample of categories.

    Every region is a positive of its own category and a negative of the other sampled ones. The sample is all
    categories that appear in the batch (of all processes) and random others up to ``num_classes``; a vocabulary with
    fewer than ``num_classes`` is used whole. The random part follows from ``(seed, step)`` alone: it is the same on all
    processes, and again the same when a run is resumed at that step.

    Logits are cosines divided by ``temperature``. CLIP's ``exp(logit_scale)``, which this stands for, is a constant
    here: it takes no gradient, and published models end at its bound of 100.

    The loss of a region is the mean over the sampled categories (ours, the default) or their sum (the published
    program's), a factor of ``num_classes``. AdamW hardly sees the scale of a single loss; the weights of
    :class:`WeightedLosses`, gradient clipping and the log do. The loss of a batch is the mean over its regions.

    Args:
        num_classes: Categories in the sample.
        class_reduction: ``'mean'`` or ``'sum'`` over the sampled categories.
        temperature: What the cosines are divided by, positive; 0.01 is CLIP's scale of 100.
        seed: Seed of the random categories.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> loss = RegionContrastiveLoss()
        >>> loss(student_RD, text_KD, labels_R, step=0)['loss'].backward()
    """

    inputs = ("text", "labels", "step")

    def __init__(
        self,
        num_classes: int = 100,
        temperature: float = 0.01,
        seed: int = 0,
        class_reduction: Literal["mean", "sum"] = "mean",
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, a category and its contrast, not {num_classes}")
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}; CLIP's scale of 100 is 0.01.")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}.")
        if class_reduction not in ("mean", "sum"):
            raise ValueError(f"class_reduction must be 'mean' or 'sum', got {class_reduction!r}.")
        self.num_classes = num_classes
        self.temperature = temperature
        self.seed = seed
        self.class_reduction = class_reduction

    def forward(self, features: Tensor, text: Tensor, labels: Tensor, step: int) -> dict[str, Tensor]:
        """Compute the loss.

        Args:
            features: Student region features (R, D), not normalised.
            text: Student class embeddings (K, D).
            labels: Categories of the regions (R,) int64, 0 to K - 1.
            step: Number of the training iteration.

        Returns:
            ``loss``, the mean over regions of the mean or sum over sampled categories, 0 with a gradient of 0 if there
            is no region; ``accuracy``, the share of regions whose category scores highest among the sampled ones.
        """
        logits_RK = text_similarity(features, text) / self.temperature
        target_RK = F.one_hot(labels, len(text)).to(logits_RK)
        sampled_K = self.sample_classes(labels, len(text), step)
        # Over all categories and masked, not gathered: their number would have to come back from the GPU.
        entropy_RK = F.binary_cross_entropy_with_logits(logits_RK, target_RK, reduction="none")
        num_sampled = sampled_K.sum()
        num_regions = torch.full_like(num_sampled, len(labels))
        num_terms = num_sampled * num_regions if self.class_reduction == "mean" else num_regions
        num_terms, num_regions = mean_over_processes(torch.stack([num_terms, num_regions]))
        predicted_R = logits_RK.masked_fill(~sampled_K, -torch.inf).argmax(dim=1)
        return dict(
            loss=(entropy_RK * sampled_K / num_terms).sum(),
            accuracy=(predicted_R == labels).sum() / num_regions,
        )

    def sample_classes(self, labels: Tensor, num_categories: int, step: int) -> Tensor:
        """Choose the categories of a step.

        Args:
            labels: Categories of this process's regions (R,) int64.
            num_categories: K.
            step: Number of the training iteration.

        Returns:
            Boolean (K,), the same on all processes.
        """
        appears_K = torch.zeros(num_categories, device=labels.device).index_fill_(0, labels, 1.0)
        all_reduce(appears_K, op="max")
        # numpy's RandomState never changes its streams (NEP 19): a run resumes with the same draws after an upgrade.
        generator = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([self.seed, int(step)])))
        priority_K = torch.from_numpy(generator.random_sample(num_categories)).float()
        priority_K = priority_K.to(labels.device, non_blocking=True)
        # Draws lie in [0, 1): categories that appear come first.
        rank_K = (priority_K + appears_K).argsort(descending=True, stable=True).argsort()
        return (rank_K < self.num_classes) | (appears_K > 0)
