"""Loops of training."""

from densevlm_mm.engine.loops.resumable import ResumableEpochBasedTrainLoop
from densevlm_mm.engine.loops.resumable_iterations import ResumableIterBasedTrainLoop

__all__ = ["ResumableEpochBasedTrainLoop", "ResumableIterBasedTrainLoop"]
