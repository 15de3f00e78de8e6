"""Small functions and layers that several models share."""

from densevlm_mm.models.layers.region_pooling import pool_boxes, pool_masks
from densevlm_mm.models.layers.text_similarity import text_similarity

__all__ = ["pool_boxes", "pool_masks", "text_similarity"]
