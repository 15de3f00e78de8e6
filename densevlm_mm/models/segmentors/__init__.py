"""Open-vocabulary segmentors, in mmseg's registry."""

from densevlm_mm.models.segmentors.cat_seg import CATSeg

__all__ = ["CATSeg"]
