"""A page in the browser that shows what encoders see; it needs the extra ``web``."""

from densevlm_mm.web.server import TINY_SCENES, serve

__all__ = ["TINY_SCENES", "serve"]
