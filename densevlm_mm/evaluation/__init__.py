"""Metrics."""

from densevlm_mm.evaluation.prediction_dump import WholeDumpResults
from densevlm_mm.evaluation.prediction_recorder import PredictionRecorder
from densevlm_mm.evaluation.region_classification import RegionClassificationMetric

__all__ = ["PredictionRecorder", "RegionClassificationMetric", "WholeDumpResults"]
