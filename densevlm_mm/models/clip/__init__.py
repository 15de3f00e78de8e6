"""What a CLIP file is: architectures, checkpoint formats and layouts, tokenizers, loading and export."""

from densevlm_mm.models.clip.architecture import ClipArchitecture, ModelName, resolve_architecture, same_model
from densevlm_mm.models.clip.checkpoint_names import CheckpointName
from densevlm_mm.models.clip.export import export_open_clip
from densevlm_mm.models.clip.loading import build_clip, load_visual, read_state_dict
from densevlm_mm.models.clip.model_source import ClipSource, locate_checkpoint, resolve_model
from densevlm_mm.models.clip.state_dict_mismatch import StateDictMismatch
from densevlm_mm.models.clip.tokenizer import build_tokenizer

__all__ = [
    "CheckpointName",
    "ClipArchitecture",
    "ClipSource",
    "ModelName",
    "StateDictMismatch",
    "build_clip",
    "build_tokenizer",
    "export_open_clip",
    "load_visual",
    "locate_checkpoint",
    "read_state_dict",
    "resolve_architecture",
    "resolve_model",
    "same_model",
]
