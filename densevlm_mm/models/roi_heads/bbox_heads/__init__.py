"""Box heads, in mmdet's registry; imported by `densevlm_mm.detection` alone."""

from densevlm_mm.models.roi_heads.bbox_heads.cosine_bbox_head import CosineBBoxHead

__all__ = ["CosineBBoxHead"]
