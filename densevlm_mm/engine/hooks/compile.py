"""Compilation of the dense passes."""

import os
import shutil
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from densevlm_mm.engine.hooks.teacher import TeacherHook
from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class CompileHook(Hook):
    """Run the blocks of every :class:`DenseImageEncoder` of a run through ``torch.compile``: student and teachers.

    What surrounds the towers (data samples, RoIAlign, loss, log) takes a few percent of a step and would break the
    graph at every turn. So the tools lead mmengine's ``compile`` key here, which compiles all of ``train_step``.

    Args:
        options: Arguments of ``torch.compile``; the default backend is Inductor.

    Raises:
        ValueError: If Inductor is to compile for the CPU and there is no C++ compiler, or if there is no encoder.

    Example:
        >>> custom_hooks = [dict(type='CompileHook', options=dict(mode='max-autotune-no-cudagraphs'))]
    """

    priority = "HIGH"

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        self.options = dict(options or {})
        if self.options.get("backend", "inductor") == "inductor" and not torch.cuda.is_available():
            candidates = [os.environ.get("CXX"), "g++", "clang++", "c++"]
            if not any(name and shutil.which(name) for name in candidates):
                raise ValueError(
                    "torch.compile needs a C++ compiler for the CPU and found neither g++ nor clang++: install one, "
                    "set CXX, or leave --compile out"
                )

    def before_run(self, runner: Runner) -> None:
        """Compile the encoders of the model, and let the teachers be compiled when they are built.

        Raises:
            ValueError: If there is nothing to compile.
        """
        encoders = [m for m in unwrap_model(runner.model).modules() if isinstance(m, DenseImageEncoder)]
        teachers = [hook for hook in runner.hooks if isinstance(hook, TeacherHook)]
        if not encoders and not teachers:
            raise ValueError("CompileHook compiles the blocks of DenseImageEncoders, and this model has none")
        for encoder in encoders:
            encoder.compile_blocks(**self.options)
        for hook in teachers:
            hook.compile_options = self.options
        who = f"{len(encoders)} encoder(s) of the model, {len(teachers)} teacher(s)"
        print_log(f"torch.compile: {who}; the first steps take longer", "current")
