"""No optimizer step from a loss or a gradient that is not finite."""

import math
from collections.abc import Callable
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from densevlm_mm.engine.agreement import GO_ON, NOT_FINITE, Agreement
from densevlm_mm.engine.not_finite import NotFiniteError
from densevlm_mm.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class FiniteOptimWrapper(OptimWrapper):
    """``OptimWrapper`` that looks at the loss and at the total norm of the gradients before every optimizer step.

    One that is not finite spoils all weights at once, and later checkpoints with them. The check costs the norm where
    gradients are not clipped, and on a GPU it waits for the backward pass, once a step.
    All processes decide alike if the training loop has given them an `agreement`, as ours do.

    Args:
        optimizer: The optimizer.
        accumulative_counts: Iterations whose gradients are averaged into one step.
        clip_grad: Arguments of mmengine's gradient clipping, e.g. ``dict(max_norm=1.0)``.
        max_not_finite: How many steps of a whole run may be left out because they were not finite. 0 ends the run at
            the first.

    Raises:
        ValueError: If `max_not_finite` is negative.

    Example:
        >>> optim_wrapper = dict(type="densevlm_mm.FiniteOptimWrapper", optimizer=dict(type="AdamW", lr=1e-5))
    """

    agreement: Agreement | None = None

    def __init__(
        self,
        optimizer: Optimizer,
        accumulative_counts: int = 1,
        clip_grad: dict | None = None,
        max_not_finite: int = 0,
    ) -> None:
        if max_not_finite < 0:
            raise ValueError(f"max_not_finite is a number of steps, got {max_not_finite}.")
        super().__init__(optimizer, accumulative_counts=accumulative_counts, clip_grad=clip_grad)
        self.max_not_finite = max_not_finite
        self.num_not_finite = 0
        self.left_out: NotFiniteError | None = None  # the step of the last iteration, if it was left out
        self._loss = torch.zeros(())
        self._norm: Tensor | None = None
        if clip_grad:
            self.clip_func: Callable[..., Tensor | None] = self._keeping_the_norm(self.clip_func)

    def update_params(self, loss: Tensor, step_kwargs: dict | None = None, zero_kwargs: dict | None = None) -> None:
        """Backpropagate, and step where the accumulation is complete.

        Raises:
            NotFiniteError: If the loss or the gradient is not finite, in this or in another process, and no more steps
                may be left out.
        """
        if self.agreement is not None:
            self.agreement.largest(GO_ON)  # nobody has failed in the forward pass
        self.left_out = None
        self._loss = loss.detach()
        super().update_params(loss, step_kwargs=step_kwargs, zero_kwargs=zero_kwargs)
        if not self.should_update() and not self.may_leave_out() and not math.isfinite(self._loss.item()):
            raise NotFiniteError.of_step(self._loss.item())  # now, while the batch that made it is at hand

    def step(self, **kwargs: Any) -> None:
        """Clip the gradients and step, unless they are not finite; `kwargs` go to the optimizer."""
        norm = self.clip_gradients()
        loss, grad_norm = torch.stack([self._loss.float(), norm.float().to(self._loss.device)]).tolist()
        finite = math.isfinite(loss) and math.isfinite(grad_norm)
        if self.agreement is not None:
            finite = self.agreement.largest(GO_ON if finite else NOT_FINITE) == GO_ON
        if finite:
            self.step_optimizer(**kwargs)
        else:
            self.leave_out(NotFiniteError.of_step(loss, grad_norm))

    def clip_gradients(self) -> Tensor:
        """Clip the gradients if that is wanted; return the total norm that they had before."""
        if self.clip_grad_kwargs and self.grad_name == "grad_norm":
            self._norm = torch.zeros(())  # without gradients nothing is clipped
            self._clip_grad()
            return self._norm
        gradients = [p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = get_total_norm(gradients)
        if self.clip_grad_kwargs:
            self._clip_grad()  # by value, which hides what is infinite
        return norm

    def step_optimizer(self, **kwargs: Any) -> None:
        """Take the step."""
        self.optimizer.step(**kwargs)

    def may_leave_out(self) -> bool:
        """Tell whether one more step may be left out."""
        return self.num_not_finite < self.max_not_finite

    def leave_out(self, error: NotFiniteError) -> None:
        """Count a step that is not taken.

        Raises:
            NotFiniteError: The given one, if no more may be left out.
        """
        if not self.may_leave_out():
            raise error
        self.num_not_finite += 1
        self.left_out = error

    def state_dict(self) -> dict:
        """Return the optimizer's state and how many steps were left out so far."""
        return {**super().state_dict(), "num_not_finite": self.num_not_finite}

    def load_state_dict(self, state_dict: dict) -> None:
        """Load the optimizer's state; a checkpoint of another wrapper has left out no step."""
        remaining = dict(state_dict)  # the caller's stays whole: mmengine's loading removes keys
        self.num_not_finite = remaining.pop("num_not_finite", 0)
        super().load_state_dict(remaining)

    def _keeping_the_norm(self, clip: Callable[..., Tensor | None]) -> Callable[..., Tensor | None]:
        def clip_and_keep(*args: Any, **kwargs: Any) -> Tensor | None:
            self._norm = clip(*args, **kwargs)
            return self._norm

        return clip_and_keep
