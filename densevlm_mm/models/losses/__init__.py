"""Region losses: plain modules, tensors in, a dict with ``loss`` and figures to log out."""

from densevlm_mm.models.losses.decoupled_alignment import DecoupledAlignmentLoss
from densevlm_mm.models.losses.feature_distillation import FeatureDistillationLoss
from densevlm_mm.models.losses.region_contrastive import RegionContrastiveLoss

__all__ = ["DecoupledAlignmentLoss", "FeatureDistillationLoss", "RegionContrastiveLoss"]
