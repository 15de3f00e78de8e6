"""Pictures of predictions."""

from densevlm_mm.visualization.region_predictions import draw_region_predictions

__all__ = ["draw_region_predictions"]
