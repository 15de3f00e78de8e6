"""Predictions on a user's own images."""

from densevlm_mm.inference.inferencer import DEFAULT_SCORE_THR, OpenVocabularyInferencer
from densevlm_mm.inference.inputs import InputImage, UnreadableImage, is_video, list_files
from densevlm_mm.inference.prediction import Prediction
from densevlm_mm.inference.result_folder import ResultFolder
from densevlm_mm.inference.similarity import SimilarityMaps

__all__ = [
    "DEFAULT_SCORE_THR",
    "InputImage",
    "OpenVocabularyInferencer",
    "Prediction",
    "ResultFolder",
    "SimilarityMaps",
    "UnreadableImage",
    "is_video",
    "list_files",
]
