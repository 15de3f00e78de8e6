"""Training loops."""

from densevlm_mm.engine.loops.resumable import ResumableEpochBasedTrainLoop

__all__ = ["ResumableEpochBasedTrainLoop"]
