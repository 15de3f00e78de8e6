"""Pretraining losses: plain modules, tensors in, a dict with ``loss`` and figures to log out."""

from densevlm_mm.models.losses.caption_contrast import CaptionContrastLoss
from densevlm_mm.models.losses.correlation_distillation import CorrelationDistillationLoss
from densevlm_mm.models.losses.decoupled_alignment import DecoupledAlignmentLoss
from densevlm_mm.models.losses.feature_distillation import FeatureDistillationLoss
from densevlm_mm.models.losses.normalizer import mean_over_processes
from densevlm_mm.models.losses.pretraining_loss import PretrainingLoss
from densevlm_mm.models.losses.region_contrastive import RegionContrastiveLoss
from densevlm_mm.models.losses.retention import RetentionLoss
from densevlm_mm.models.losses.weighted_losses import WeightedLosses

__all__ = [
    "CaptionContrastLoss",
    "CorrelationDistillationLoss",
    "DecoupledAlignmentLoss",
    "FeatureDistillationLoss",
    "PretrainingLoss",
    "RegionContrastiveLoss",
    "RetentionLoss",
    "WeightedLosses",
    "mean_over_processes",
]
