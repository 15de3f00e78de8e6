"""Decode heads of the segmentors, in mmseg's registry."""

from densevlm_mm.models.decode_heads.cat_seg_head import CATSegHead

__all__ = ["CATSegHead"]
