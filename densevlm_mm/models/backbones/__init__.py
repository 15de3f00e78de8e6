"""The dense encoder as a backbone of detectors and segmentors."""

from densevlm_mm.models.backbones.densevlm_backbone import DenseVLMBackbone

__all__ = ["DenseVLMBackbone"]
