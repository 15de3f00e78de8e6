"""Open-vocabulary segmentors, in mmseg's registry."""

from densevlm_mm.models.segmentors.cat_seg import CATSeg
from densevlm_mm.models.segmentors.san import OpenVocabularySAN
from densevlm_mm.models.segmentors.san_text_classifier import SANTextClassifier
from densevlm_mm.models.segmentors.san_tower_taps import TowerTaps
from densevlm_mm.models.segmentors.zero_shot import ZeroShotSegmentor

__all__ = ["CATSeg", "OpenVocabularySAN", "SANTextClassifier", "TowerTaps", "ZeroShotSegmentor"]
