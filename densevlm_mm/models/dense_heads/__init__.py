"""Dense heads, in mmdet's registry; imported by `densevlm_mm.detection` alone."""

from densevlm_mm.models.dense_heads.normed_rpn_head import NormedRPNHead

__all__ = ["NormedRPNHead"]
