"""CAT-Seg's cost aggregation (arXiv 2303.11797), in plain torch."""

from densevlm_mm.models.layers.cost_aggregation.aggregator import CostAggregator, cosine_maps
from densevlm_mm.models.layers.cost_aggregation.classwise import ClassAggregation
from densevlm_mm.models.layers.cost_aggregation.decoder import CostDecoder, GuidedUpsampling
from densevlm_mm.models.layers.cost_aggregation.guided import GuidedConv2d, GuidedLinear
from densevlm_mm.models.layers.cost_aggregation.spatial import (
    GuidedSwinBlock,
    SpatialAggregation,
    shifted_window_mask,
)

__all__ = [
    "ClassAggregation",
    "CostAggregator",
    "CostDecoder",
    "GuidedConv2d",
    "GuidedLinear",
    "GuidedSwinBlock",
    "GuidedUpsampling",
    "SpatialAggregation",
    "cosine_maps",
    "shifted_window_mask",
]
