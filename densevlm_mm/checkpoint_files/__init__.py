"""Reading checkpoint files of any origin: nothing in them runs, nothing damaged comes through."""

from densevlm_mm.checkpoint_files.contents import check_finite, find_state_dict, is_runner_checkpoint
from densevlm_mm.checkpoint_files.formats import checkpoint_format
from densevlm_mm.checkpoint_files.reader import CheckpointFile, read_checkpoint
from densevlm_mm.checkpoint_files.sealed_safetensors import save_sealed

__all__ = [
    "CheckpointFile",
    "check_finite",
    "checkpoint_format",
    "find_state_dict",
    "is_runner_checkpoint",
    "read_checkpoint",
    "save_sealed",
]
