"""Decode heads of the segmentors, in mmseg's registry."""

from densevlm_mm.models.decode_heads.cat_seg_head import CATSegHead
from densevlm_mm.models.decode_heads.san_head import OpenVocabularySANHead
from densevlm_mm.models.decode_heads.san_recognition import MaskPooledRecognition

__all__ = ["CATSegHead", "MaskPooledRecognition", "OpenVocabularySANHead"]
