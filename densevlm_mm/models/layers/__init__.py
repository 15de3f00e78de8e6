"""Small functions and layers that several models share."""

from densevlm_mm.models.layers.region_pooling import boxes_to_rois, image_indices, pool_boxes, pool_masks
from densevlm_mm.models.layers.retrieval import Retrieval, check_retrieval, retrieve
from densevlm_mm.models.layers.segment_coherence import coherence_auc
from densevlm_mm.models.layers.text_similarity import text_similarity

__all__ = [
    "Retrieval",
    "boxes_to_rois",
    "check_retrieval",
    "coherence_auc",
    "image_indices",
    "pool_boxes",
    "pool_masks",
    "retrieve",
    "text_similarity",
]
