"""Models: encoders, text, losses and the pretrainer."""

from densevlm_mm.models import encoders, losses, pretrainers

__all__ = ["encoders", "losses", "pretrainers"]
