"""Small functions and layers that several models share."""

from densevlm_mm.models.layers.excluded_logits import exclude
from densevlm_mm.models.layers.region_pooling import boxes_to_rois, image_indices, pool_boxes, pool_masks
from densevlm_mm.models.layers.retrieval import Retrieval, check_retrieval, retrieve
from densevlm_mm.models.layers.segment_coherence import coherence_auc
from densevlm_mm.models.layers.text_similarity import text_similarity
from densevlm_mm.models.layers.views import View, check_view, cut_views, has_view, view_box

__all__ = [
    "Retrieval",
    "View",
    "boxes_to_rois",
    "check_retrieval",
    "check_view",
    "coherence_auc",
    "cut_views",
    "exclude",
    "has_view",
    "image_indices",
    "pool_boxes",
    "pool_masks",
    "retrieve",
    "text_similarity",
    "view_box",
]
