"""Decode heads of mmsegmentation models; they import mmseg, so ``densevlm_mm.segmentation`` imports them, not this."""
