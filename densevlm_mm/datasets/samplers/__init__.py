"""Samplers for the data loaders."""

from densevlm_mm.datasets.samplers.resumable import ResumableSampler, SampleIndex
from densevlm_mm.datasets.samplers.shards import ShardSampler

__all__ = ["ResumableSampler", "SampleIndex", "ShardSampler"]
