"""Detectors, in mmdet's registry; imported by `densevlm_mm.detection` alone."""

from densevlm_mm.models.detectors.fvit import FViT

__all__ = ["FViT"]
