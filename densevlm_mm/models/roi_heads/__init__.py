"""RoI heads, in mmdet's registry; imported by `densevlm_mm.detection` alone."""

from densevlm_mm.models.roi_heads.fvit_roi_head import FViTRoIHead

__all__ = ["FViTRoIHead"]
