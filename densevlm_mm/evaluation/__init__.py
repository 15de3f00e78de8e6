"""Metrics."""

from densevlm_mm.evaluation.region_classification import RegionClassificationMetric

__all__ = ["RegionClassificationMetric"]
