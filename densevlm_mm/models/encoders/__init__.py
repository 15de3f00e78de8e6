"""Image encoders: open_clip towers read densely."""

from densevlm_mm.models.encoders.dense_image_encoder import DenseImageEncoder

__all__ = ["DenseImageEncoder"]
