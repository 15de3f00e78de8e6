"""Small functions and layers that several models share."""

from densevlm_mm.models.layers.region_pooling import pool_boxes, pool_masks

__all__ = ["pool_boxes", "pool_masks"]
