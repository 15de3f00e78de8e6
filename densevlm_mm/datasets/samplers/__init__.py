"""Samplers for the data loaders."""

from densevlm_mm.datasets.samplers.resumable import ResumableSampler, SampleIndex

__all__ = ["ResumableSampler", "SampleIndex"]
