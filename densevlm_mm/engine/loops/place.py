"""The last place of a training run from which it can go on exactly."""

from typing import Any

import torch
from mmengine.runner import Runner
from torch import Tensor

from densevlm_mm.engine.optim_wrappers.accumulation import all_optim_wrappers, is_between_steps


class Place:
    """What an unfinished iteration changes, as it was after the last complete optimizer step.

    Weights and the state of the optimizer change in the step alone, so they need no copy: an error before the step
    leaves them as they were. The forward pass moves buffers (running statistics); with accumulated gradients,
    iterations that have not yet led to a step have moved the schedules and the count. Those are taken back.

    Args:
        runner: The runner, its model, optimizer and schedules built.
        iteration: Where it starts: the number of iterations done.
        epoch: The number of epochs done.
    """

    def __init__(self, runner: Runner, iteration: int, epoch: int) -> None:
        self._runner = runner
        self._wrappers = all_optim_wrappers(runner.optim_wrapper)
        self._accumulates = any(wrapper._accumulative_counts > 1 for wrapper in self._wrappers)
        self._modules = [m for m in runner.model.modules() if m._buffers]
        self._copies: list[Tensor] = []
        self._settings: list[dict] = []
        self._schedules: list[dict] = []
        self.is_torn = False
        self._handles = [w.optimizer.register_step_pre_hook(self._step_begins) for w in self._wrappers]
        self._take(iteration, epoch)

    def step_is_complete(self) -> None:
        """Note that the optimizer has moved all weights, or none."""
        self.is_torn = False

    def close(self) -> None:
        """Stop watching the optimizers."""
        for handle in self._handles:
            handle.remove()

    def remember(self, iteration: int, epoch: int) -> None:
        """Take this as the place, if it is one: not while gradients are being accumulated."""
        if is_between_steps(self._runner.optim_wrapper):
            self._take(iteration, epoch)

    def _take(self, iteration: int, epoch: int) -> None:
        self.iter, self.epoch = iteration, epoch
        if self._accumulates:
            self._schedules = [schedule.state_dict() for schedule in self._all_schedules()]
            self._settings = [{k: v for k, v in group.items() if k != "params"} for group in self._groups()]
        buffers = self._buffers()
        if [(c.shape, c.dtype) for c in self._copies] != [(b.shape, b.dtype) for b in buffers]:
            self._copies = [buffer.clone() for buffer in buffers]
        elif buffers:
            torch._foreach_copy_(self._copies, buffers)

    def restore_buffers(self) -> None:
        """Take back what the forward pass of this iteration did to the buffers."""
        with torch.no_grad():
            for buffer, value in zip(self._buffers(), self._copies, strict=True):
                if not torch.equal(buffer, value):
                    buffer.copy_(value)

    def restore(self) -> None:
        """Go back to the place; whoever counts iterations has to take them from here."""
        self.restore_buffers()
        if not self._accumulates:
            return
        for schedule, state in zip(self._all_schedules(), self._schedules, strict=True):
            schedule.load_state_dict(state)
        for group, settings in zip(self._groups(), self._settings, strict=True):
            group.update(settings)

    def _step_begins(self, *_: object) -> None:
        # An error in the step itself may leave some weights moved and others not.
        self.is_torn = True

    def _buffers(self) -> list[Tensor]:
        return [buffer.detach() for m in self._modules for buffer in m._buffers.values() if buffer is not None]

    def _groups(self) -> list[dict]:
        return [group for wrapper in self._wrappers for group in wrapper.param_groups]

    def _all_schedules(self) -> list[Any]:
        schedules = self._runner.param_schedulers or []
        lists = schedules.values() if isinstance(schedules, dict) else [schedules]
        return [schedule for single in lists for schedule in single]
