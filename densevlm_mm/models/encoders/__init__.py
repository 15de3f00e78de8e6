"""Image encoders: open_clip towers read densely, their checkpoints and their export."""

from densevlm_mm.models.encoders import tiny_clip as tiny_clip  # registers the TinyScenes architectures
from densevlm_mm.models.encoders.clip_text_encoder import ClipTextEncoder
from densevlm_mm.models.encoders.dense_image_encoder import DenseImageEncoder
from densevlm_mm.models.encoders.export import export_open_clip
from densevlm_mm.models.encoders.loading import build_clip, load_visual, read_state_dict

__all__ = [
    "ClipTextEncoder",
    "DenseImageEncoder",
    "build_clip",
    "export_open_clip",
    "load_visual",
    "read_state_dict",
]
