"""Converters of published label maps to the files that the segmentation data sets read."""

from densevlm_mm.datasets.converters.ade20k_847 import ADE20K847Converter
from densevlm_mm.datasets.converters.ade20k_panoptic import ADE20KPanopticConverter
from densevlm_mm.datasets.converters.coco_stuff164k import COCOStuff164kConverter
from densevlm_mm.datasets.converters.label_maps import ConversionSummary, LabelMapConverter, Sample
from densevlm_mm.datasets.converters.pascal_context_459 import PascalContext459Converter

__all__ = [
    "ADE20K847Converter",
    "ADE20KPanopticConverter",
    "COCOStuff164kConverter",
    "ConversionSummary",
    "LabelMapConverter",
    "PascalContext459Converter",
    "Sample",
]
