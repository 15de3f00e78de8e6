"""Models: encoders, text, losses, the pretrainer and the backbone."""

from densevlm_mm.models import backbones, encoders, losses, pretrainers

__all__ = ["backbones", "encoders", "losses", "pretrainers"]
