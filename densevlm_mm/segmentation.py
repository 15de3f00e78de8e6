"""The segmentation parts, in mmseg's registry; importing it imports mmseg, which pretraining does without.

A segmentation config says ``custom_imports = dict(imports=['densevlm_mm.segmentation'])``, with mmseg as its default
scope.
"""

from densevlm_mm.datasets.label_map_datasets import (
    ADE20K150Dataset,
    COCOStuff164kDataset,
    LabelMapDataset,
    PascalContext59Dataset,
)
from densevlm_mm.datasets.transforms.seg_labels import LoadSegLabels
from densevlm_mm.datasets.wide_labels import ADE20K847Dataset, PascalContext459Dataset
from densevlm_mm.engine.hooks.seg_visualization import LegendSegVisualizationHook
from densevlm_mm.evaluation.ov_iou_metric import OpenVocabularyIoUMetric
from densevlm_mm.models.decode_heads import CATSegHead, MaskPooledRecognition, OpenVocabularySANHead
from densevlm_mm.models.losses.pixel_binary_cross_entropy import PixelBinaryCrossEntropyLoss
from densevlm_mm.models.mean_score_tta import MeanScoreTTAModel
from densevlm_mm.models.segmentors import CATSeg, OpenVocabularySAN, SANTextClassifier, TowerTaps, ZeroShotSegmentor
from densevlm_mm.tiny_scenes.seg_dataset import TinyScenesSegDataset
from densevlm_mm.visualization.seg_legend import LegendSegVisualizer

__all__ = [
    "ADE20K150Dataset",
    "ADE20K847Dataset",
    "CATSeg",
    "CATSegHead",
    "COCOStuff164kDataset",
    "LabelMapDataset",
    "LegendSegVisualizationHook",
    "LegendSegVisualizer",
    "LoadSegLabels",
    "MaskPooledRecognition",
    "MeanScoreTTAModel",
    "OpenVocabularyIoUMetric",
    "OpenVocabularySAN",
    "OpenVocabularySANHead",
    "PascalContext59Dataset",
    "PascalContext459Dataset",
    "PixelBinaryCrossEntropyLoss",
    "SANTextClassifier",
    "TinyScenesSegDataset",
    "TowerTaps",
    "ZeroShotSegmentor",
]
