"""In the making."""

from mmseg.registry import VISUALIZERS
from mmseg.visualization import SegLocalVisualizer


@VISUALIZERS.register_module()
class LegendSegVisualizer(SegLocalVisualizer):
    """mmseg's visualizer."""
