"""What the tools are made of: experiments from config files, and checks before they start."""

from densevlm_mm.apis.checkpoints import is_runner_checkpoint, use_checkpoint
from densevlm_mm.apis.experiment import enable_amp, enable_auto_scale_lr, enable_resume, load_experiment
from densevlm_mm.apis.outputs import enable_outputs, enable_show, enable_tta
from densevlm_mm.apis.preflight import MissingInputsError, check_inputs

__all__ = [
    "MissingInputsError",
    "check_inputs",
    "enable_amp",
    "enable_auto_scale_lr",
    "enable_outputs",
    "enable_resume",
    "enable_show",
    "enable_tta",
    "is_runner_checkpoint",
    "load_experiment",
    "use_checkpoint",
]
