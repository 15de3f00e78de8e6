"""Models that the runner pretrains."""

from densevlm_mm.models.pretrainers.region_pretrainer import RegionPretrainer

__all__ = ["RegionPretrainer"]
