"""Loops of training and prediction."""

from densevlm_mm.engine.loops.prediction import PredictionLoop
from densevlm_mm.engine.loops.resumable import ResumableEpochBasedTrainLoop
from densevlm_mm.engine.loops.resumable_iterations import ResumableIterBasedTrainLoop

__all__ = ["PredictionLoop", "ResumableEpochBasedTrainLoop", "ResumableIterBasedTrainLoop"]
