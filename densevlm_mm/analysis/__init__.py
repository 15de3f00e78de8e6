"""Looking into encoders, as some figures of the paper do, and further; tools/analysis_tools runs these functions."""

from densevlm_mm.analysis.models import AnalysisModel, ModelSource, check_names, parse_model_source
from densevlm_mm.analysis.region_scores import RegionScores, collect_region_scores

__all__ = [
    "AnalysisModel",
    "ModelSource",
    "RegionScores",
    "check_names",
    "collect_region_scores",
    "parse_model_source",
]
