"""The detection parts, in mmdet's registry; importing it imports mmdet, which pretraining does without.

A detection config says ``custom_imports = dict(imports=['densevlm_mm.detection'])``, with mmdet as its default scope.
"""

from densevlm_mm.datasets.checked_coco import ClassOrderCocoDataset, ClassOrderObjects365Dataset
from densevlm_mm.datasets.ov_coco import OVCocoDataset
from densevlm_mm.datasets.ov_lvis import OVLVISDataset
from densevlm_mm.engine.hooks.det_visualization import NamedDetVisualizationHook
from densevlm_mm.evaluation.class_order import ClassOrderCocoMetric
from densevlm_mm.evaluation.det_prediction_dump import WholeDumpDetResults
from densevlm_mm.evaluation.ov_coco_metric import OVCocoAP50Metric
from densevlm_mm.evaluation.ov_lvis_metric import OVLVISMetric
from densevlm_mm.models.dense_heads import NormedRPNHead
from densevlm_mm.models.detectors import FViT
from densevlm_mm.models.losses.masked_cross_entropy import MaskedCrossEntropyLoss
from densevlm_mm.models.roi_heads import FViTRoIHead
from densevlm_mm.models.roi_heads.bbox_heads import CosineBBoxHead
from densevlm_mm.visualization.open_vocabulary_boxes import OpenVocabularyDetVisualizer

__all__ = [
    "ClassOrderCocoDataset",
    "ClassOrderCocoMetric",
    "ClassOrderObjects365Dataset",
    "CosineBBoxHead",
    "FViT",
    "FViTRoIHead",
    "MaskedCrossEntropyLoss",
    "NamedDetVisualizationHook",
    "NormedRPNHead",
    "OVCocoAP50Metric",
    "OVCocoDataset",
    "OVLVISDataset",
    "OVLVISMetric",
    "OpenVocabularyDetVisualizer",
    "WholeDumpDetResults",
]
