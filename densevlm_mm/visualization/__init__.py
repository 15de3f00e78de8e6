"""Pictures of predictions, and where figures are sent."""

from densevlm_mm.visualization.region_predictions import draw_region_predictions
from densevlm_mm.visualization.tracking_backends import FiguresWandbVisBackend

__all__ = ["FiguresWandbVisBackend", "draw_region_predictions"]
