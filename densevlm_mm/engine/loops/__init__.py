"""Loops of training, and of a test by two vocabularies."""

from densevlm_mm.engine.loops.resumable import ResumableEpochBasedTrainLoop
from densevlm_mm.engine.loops.resumable_iterations import ResumableIterBasedTrainLoop
from densevlm_mm.engine.loops.synonym_test import SynonymTestLoop

__all__ = ["ResumableEpochBasedTrainLoop", "ResumableIterBasedTrainLoop", "SynonymTestLoop"]
