"""The segmentation parts, in mmseg's registry; importing it imports mmseg, which pretraining does without.

A segmentation config says ``custom_imports = dict(imports=['densevlm_mm.segmentation'])``, with mmseg as its default
scope.
"""

from densevlm_mm.models.decode_heads.san_head import OpenVocabularySANHead
from densevlm_mm.models.decode_heads.san_recognition import MaskPooledRecognition
from densevlm_mm.models.segmentors.san import OpenVocabularySAN
from densevlm_mm.models.segmentors.san_text_classifier import SANTextClassifier
from densevlm_mm.models.segmentors.san_tower_taps import TowerTaps

__all__ = [
    "MaskPooledRecognition",
    "OpenVocabularySAN",
    "OpenVocabularySANHead",
    "SANTextClassifier",
    "TowerTaps",
]
