"""Looking into encoders: the analyses behind the paper's figures, as functions; tools/analysis_tools runs them."""

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
