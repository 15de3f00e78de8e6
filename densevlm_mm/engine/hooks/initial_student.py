"""The student as a run found it: a teacher that is to keep it must be the same."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.runner import Runner
from torch import Tensor

from densevlm_mm.engine.hooks.weight_ensemble import WeightEnsembleHook
from densevlm_mm.engine.unwrap import unwrap_model

# Arguments of an encoder that a frozen copy has no use for.
_TRAINING_OPTIONS = ("trainable", "unlocked_groups", "grad_checkpointing", "train_pool_positions", "image_size")
# ... and that do not show in its global embeddings.
_DENSE_OPTIONS = ("dense_residual", "dense_path")


def initial_student(encoder: Mapping[str, Any]) -> dict[str, Any]:
    """Config of a frozen teacher that is the student as it starts.

    Args:
        encoder: ``model.encoder`` of the run.

    Returns:
        It without what concerns training.

    Raises:
        ValueError: If its weights are random: a second one would have others.
    """
    if encoder.get("checkpoint") in (None, "random"):
        raise ValueError(
            f"the initial student as a teacher needs its weights, and model.encoder.checkpoint is "
            f"{encoder.get('checkpoint')!r}: name a file, or give the hook another teacher."
        )
    return {key: value for key, value in encoder.items() if key not in _TRAINING_OPTIONS}


def global_teacher(encoder: Mapping[str, Any]) -> dict[str, Any]:
    """Config of a frozen encoder with the initial global embeddings of a student.

    Args:
        encoder: ``model.encoder`` of the run.

    Returns:
        :func:`initial_student` without what concerns the dense path; so it is CLIPSelf's, and one module serves both.

    Raises:
        ValueError: See :func:`initial_student`.
    """
    return {key: value for key, value in initial_student(encoder).items() if key not in _DENSE_OPTIONS}


def check_trains(encoder: Any, who: str) -> None:
    """Check that a student's image tower trains.

    Raises:
        ValueError: If not one parameter does.
    """
    if not any(parameter.requires_grad for parameter in encoder.visual.parameters()):
        raise ValueError(
            f"{who} is for a student that trains, and model.encoder.trainable={encoder.trainable!r} freezes all of it: "
            "set trainable='blocks', or leave the hook out."
        )


def check_initial_student(teacher: Any, runner: Runner, who: str) -> None:
    """Check that a teacher is the student's tower with the weights that the training of the run began with.

    Those are known at the start and, of a run that is resumed, where a :class:`WeightEnsembleHook` keeps them; else the
    parts that do not train are compared.

    Args:
        teacher: The built teacher.
        runner: Of the run, its checkpoint loaded.
        who: Who asks, for the error.

    Raises:
        ValueError: If the architectures or the weights differ.
    """
    student = unwrap_model(runner.model).encoder
    theirs, ours = _tensors(teacher), _tensors(student)
    shapes = [{name: value.shape for name, value in tensors.items()} for tensors in (theirs, ours)]
    if shapes[0] != shapes[1] or getattr(teacher, "model_cfg", None) != student.model_cfg:
        raise ValueError(
            f"{who}: the teacher ({getattr(teacher, 'model_name', type(teacher).__name__)}) is not of the student's "
            f"architecture ({student.model_name}), so it would hold the student in another space: leave the hook's "
            "teacher out, it is the initial student then."
        )
    for name, value in _initial_tensors(runner).items():
        other = theirs.get(name)
        if other is not None and not torch.equal(value.to("cpu", other.dtype), other.cpu()):
            raise ValueError(
                f"{who}: the teacher has other weights than the student's training began with (the first that differ: "
                f"{name}), so it would hold the student in another space. The teacher is built from its checkpoint, by "
                "default model.encoder.checkpoint, also when a run is resumed: that must be a file of the weights that "
                "the training starts from, not 'random', and not others than load_from."
            )


def _tensors(encoder: Any) -> dict[str, Tensor]:
    visual = getattr(encoder, "visual", None)
    return {} if visual is None else visual.state_dict()


def _initial_tensors(runner: Runner) -> dict[str, Tensor]:
    """What is known of the weights of the student's tower before the first step."""
    student = unwrap_model(runner.model).encoder
    kept = [hook.initial for hook in runner.hooks if isinstance(hook, WeightEnsembleHook) and hook.initial is not None]
    if kept:
        prefix = "encoder.visual."
        return {name.removeprefix(prefix): value for name, value in kept[0].items() if name.startswith(prefix)}
    tensors = _tensors(student)
    if runner._resume:
        frozen = {name for name, parameter in student.visual.named_parameters() if not parameter.requires_grad}
        return {name: value for name, value in tensors.items() if name in frozen}
    return tensors
