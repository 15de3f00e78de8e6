"""What the tools are made of: experiments from config files, and checks before they start."""

from typing import TYPE_CHECKING

from densevlm_mm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from densevlm_mm.apis.arguments import add_conversion_arguments, add_experiment_arguments
    from densevlm_mm.apis.checkpoints import is_runner_checkpoint, use_checkpoint
    from densevlm_mm.apis.command_line import build_runner, connect_processes, exit_on_user_error
    from densevlm_mm.apis.experiment import (
        count_accumulation,
        disable_validation,
        enable_amp,
        enable_auto_scale_lr,
        load_experiment,
    )
    from densevlm_mm.apis.outputs import enable_outputs, enable_show, enable_synonyms, enable_tta
    from densevlm_mm.apis.preflight import MissingInputsError, check_inputs
    from densevlm_mm.apis.trackers import TRACKERS, enable_trackers
    from densevlm_mm.apis.vocabulary import names_of_arguments, use_vocabulary
    from densevlm_mm.apis.work_dir import choose_work_dir, claim_work_dir

__all__ = [
    "TRACKERS",
    "MissingInputsError",
    "add_conversion_arguments",
    "add_experiment_arguments",
    "build_runner",
    "check_inputs",
    "choose_work_dir",
    "claim_work_dir",
    "connect_processes",
    "count_accumulation",
    "disable_validation",
    "enable_amp",
    "enable_auto_scale_lr",
    "enable_outputs",
    "enable_show",
    "enable_synonyms",
    "enable_trackers",
    "enable_tta",
    "exit_on_user_error",
    "is_runner_checkpoint",
    "load_experiment",
    "names_of_arguments",
    "use_checkpoint",
    "use_vocabulary",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "TRACKERS": "trackers",
        "MissingInputsError": "preflight",
        "add_conversion_arguments": "arguments",
        "add_experiment_arguments": "arguments",
        "build_runner": "command_line",
        "check_inputs": "preflight",
        "choose_work_dir": "work_dir",
        "claim_work_dir": "work_dir",
        "connect_processes": "command_line",
        "count_accumulation": "experiment",
        "disable_validation": "experiment",
        "enable_amp": "experiment",
        "enable_auto_scale_lr": "experiment",
        "enable_outputs": "outputs",
        "enable_show": "outputs",
        "enable_synonyms": "outputs",
        "enable_trackers": "trackers",
        "enable_tta": "outputs",
        "exit_on_user_error": "command_line",
        "is_runner_checkpoint": "checkpoints",
        "load_experiment": "experiment",
        "names_of_arguments": "vocabulary",
        "use_checkpoint": "checkpoints",
        "use_vocabulary": "vocabulary",
    },
)
