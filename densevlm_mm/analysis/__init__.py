"""Looking into encoders, as some figures of the paper do, and further; tools/analysis_tools runs these functions."""

from typing import TYPE_CHECKING

from densevlm_mm.lazy_exports import lazy_exports

if TYPE_CHECKING:
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

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "AnalysisModel": "models",
        "ModelSource": "models",
        "RegionScores": "region_scores",
        "check_names": "models",
        "collect_region_scores": "region_scores",
        "parse_model_source": "models",
    },
)
