"""Image encoders: open_clip towers read densely, and models of timm as teachers."""

from densevlm_mm.models.encoders.dense_image_encoder import DenseImageEncoder
from densevlm_mm.models.encoders.timm_features import TimmFeatures

__all__ = ["DenseImageEncoder", "TimmFeatures"]
