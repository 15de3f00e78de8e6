"""Mixed precision that trains on the CPU too."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.optim import Optimizer

from densevlm_mm.compat.padded_convolution import whole_weight_gradients
from densevlm_mm.engine.not_finite import NotFiniteError
from densevlm_mm.engine.optim_wrappers.finite import FiniteOptimWrapper
from densevlm_mm.registry import OPTIM_WRAPPERS

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(FiniteOptimWrapper):
    """Runs the forward pass under autocast on the device that holds the parameters; the parameters stay in float32.

    In float16 steps that overflow are part of finding the loss scale: they are left out and logged. Everywhere else a
    loss or gradient that is not finite ends the run, see :class:`FiniteOptimWrapper`.

    mmengine's `AmpOptimWrapper` refuses to be built without a GPU
    (https://github.com/open-mmlab/mmpretrain/issues/1556) and scales the loss for bfloat16 too, where it has no use.

    Args:
        optimizer: The optimizer; its parameters are on the device of the training.
        dtype: "bfloat16" (no loss scaling), or "float16" with dynamic loss scaling.
        accumulative_counts: Iterations whose gradients are averaged into one step.
        clip_grad: Arguments of mmengine's gradient clipping, e.g. ``dict(max_norm=1.0)``. Gradients are clipped
            unscaled.
        init_scale: First loss scale of float16.
        max_not_finite: See :class:`FiniteOptimWrapper`; for bfloat16.
        max_overflows: How many steps in a row float16 may leave out. The default takes the first scale down to 1/256.

    Raises:
        ValueError: If `dtype` is another one.

    Example:
        >>> optim_wrapper = dict(
        ...     type="densevlm_mm.AutocastOptimWrapper", dtype="bfloat16", optimizer=dict(type="AdamW", lr=1e-5)
        ... )
    """

    def __init__(
        self,
        optimizer: Optimizer,
        dtype: str = "bfloat16",
        accumulative_counts: int = 1,
        clip_grad: dict | None = None,
        init_scale: float = 65536.0,
        max_not_finite: int = 0,
        max_overflows: int = 24,
    ) -> None:
        if dtype not in _DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(map(repr, _DTYPES))}, got {dtype!r}")
        super().__init__(optimizer, accumulative_counts, clip_grad, max_not_finite)
        self.max_overflows = max_overflows
        self.num_overflows = 0  # in a row
        self.cast_dtype = _DTYPES[dtype]
        self.loss_scaler = torch.amp.GradScaler(
            self.device_type, init_scale=init_scale, enabled=self.cast_dtype == torch.float16
        )

    @property
    def device_type(self) -> str:
        """Device of the parameters; the Runner moves the model before it builds the wrapper."""
        return self.optimizer.param_groups[0]["params"][0].device.type

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, and no gradient synchronisation in iterations that only accumulate."""
        with ExitStack() as stack:
            stack.enter_context(super().optim_context(model))
            stack.enter_context(torch.autocast(self.device_type, dtype=self.cast_dtype))
            if self.device_type == "cpu":
                stack.enter_context(whole_weight_gradients())
            yield

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Backpropagate the (for float16: scaled) loss; `kwargs` go to `Tensor.backward`."""
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1  # mmengine's contract with wrappers that override backward

    def clip_gradients(self) -> Tensor:
        """Clip the unscaled gradients if that is wanted; return the total norm that they had before."""
        self.loss_scaler.unscale_(self.optimizer)
        return super().clip_gradients()

    def step_optimizer(self, **kwargs: Any) -> None:
        """Take the step; float16 then tries a larger scale now and then."""
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()
        self.num_overflows = 0

    def may_leave_out(self) -> bool:
        """Tell whether one more step may be left out: in float16 because of the scale."""
        if self.loss_scaler.is_enabled():
            return self.num_overflows < self.max_overflows
        return super().may_leave_out()

    def leave_out(self, error: NotFiniteError) -> None:
        """Leave a step out; in float16 lower the scale.

        Raises:
            NotFiniteError: If no more may be left out.
        """
        if not self.loss_scaler.is_enabled():
            super().leave_out(error)
            return
        scale = self.loss_scaler.get_scale()
        if not self.may_leave_out():
            raise NotFiniteError(
                f"{error}, after {self.max_overflows} steps in a row that overflowed in float16, down to a loss scale "
                f"of {scale:g}; train with optim_wrapper.dtype=bfloat16"
            )
        self.num_overflows += 1
        self.left_out = error
        self.loss_scaler.update()
        # Again and by hand: where the loss alone is not finite the scaler has seen no overflow.
        lower = dict(scale=scale * self.loss_scaler.get_backoff_factor(), _growth_tracker=0)
        self.loss_scaler.load_state_dict({**self.loss_scaler.state_dict(), **lower})
        print_log(
            f"float16: {error}: the step is left out, the loss scale goes from {scale:g} to {lower['scale']:g}.",
            logger="current",
        )

    def state_dict(self) -> dict:
        """Return the optimizer's state and, under ``loss_scaler``, the scaler's (empty for bfloat16)."""
        return {**super().state_dict(), "loss_scaler": self.loss_scaler.state_dict()}

    def load_state_dict(self, state_dict: dict) -> None:
        """Load the optimizer's state and the scaler's.

        A run that was saved without a scale (bfloat16, or another wrapper) and goes on in float16 starts with a fresh
        one and says so.
        """
        remaining = dict(state_dict)  # the caller's stays whole: mmengine's loading removes keys
        scaler_state = remaining.pop("loss_scaler", None)
        if scaler_state:
            self.loss_scaler.load_state_dict(scaler_state)
        elif self.loss_scaler.is_enabled():
            print_log("The checkpoint has no loss scale: float16 starts with a fresh one.", logger="current")
        super().load_state_dict(remaining)
