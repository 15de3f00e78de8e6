"""The figures of the log, without waiting for the GPU in every iteration."""

from typing import Any

import torch
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.runner import Runner
from torch import Tensor

from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class DeferredLogHook(RuntimeInfoHook):
    """mmengine's ``RuntimeInfoHook`` that reads losses off the device when they are needed, all at once.

    mmengine asks for every figure of every iteration as a number, each of which makes the host wait until the optimizer
    step is done, with nothing prepared for the device to do next. Here they are kept as tensors until the log is
    written, a checkpoint is saved, or the epoch ends. The history is the same.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[str, Tensor]] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Keep the figures of an iteration; read them if the log is about to be written."""
        numbers = {}
        for name, value in (outputs or {}).items():
            if isinstance(value, Tensor):
                self._pending.append((name, value.detach()))
            else:
                numbers[name] = value
        super().after_train_iter(runner, batch_idx, data_batch, numbers)
        if self.end_of_epoch(runner.train_dataloader, batch_idx) or any(
            self.every_n_train_iters(runner, hook.interval) or self.every_n_inner_iters(batch_idx, hook.interval)
            for hook in runner.hooks
            if isinstance(hook, LoggerHook)
        ):
            self._read(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save the whole history."""
        if self._pending:
            self._read(runner)
            checkpoint["message_hub"] = runner.message_hub.state_dict()

    def after_train_epoch(self, runner: Runner) -> None:
        """Read what is left."""
        self._read(runner)

    def _read(self, runner: Runner) -> None:
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        values = torch.stack([value.to(torch.float64).mean() for _, value in pending]).tolist()
        for (name, _), value in zip(pending, values, strict=True):
            runner.message_hub.update_scalar(f"train/{name}", value)
