"""What the training loops share: they stop at a place from which the run goes on exactly, whatever stops them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.dist import get_rank, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import nn

from densevlm_mm.engine.agreement import FAILED, GO_ON, Agreement, StoppedByAnotherProcess
from densevlm_mm.engine.hooks.atomic_checkpoint import AtomicCheckpointHook
from densevlm_mm.engine.loops.loss_parts import LossParts
from densevlm_mm.engine.loops.out_of_memory import explain_out_of_memory
from densevlm_mm.engine.loops.place import Place
from densevlm_mm.engine.loops.stop_signals import StopRequested, StopSignals
from densevlm_mm.engine.not_finite import NotFiniteError
from densevlm_mm.engine.optim_wrappers.accumulation import all_optim_wrappers
from densevlm_mm.engine.optim_wrappers.finite import FiniteOptimWrapper
from densevlm_mm.engine.replay import image_paths, save_batch
from densevlm_mm.engine.unwrap import unwrap_model

# How long a process that failed waits for the others, and these for the checkpoint: torchrun ends all after 30 s.
_PATIENCE_SECONDS = 12.0


class StoppableLoop(BaseLoop):
    """A training loop that saves the place it has reached when a signal or an error ends it.

    The place is that after the last complete optimizer step; saving needs an :class:`AtomicCheckpointHook`. Processes
    agree once before each forward pass whether to go on, so that all stop at the same iteration.
    """

    runner: Runner
    _iter: int
    _epoch: int

    def __init__(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        super().__init__(runner, *args, **kwargs)
        self.signals = StopSignals()
        self.validated_iter = 0
        runner.register_hook(_LoopHook(self))

    def run(self) -> nn.Module:
        """Train.

        Raises:
            StopRequested: When a signal has asked to stop; its exit status is 143 or 130.
        """
        self.agreement = Agreement()
        for wrapper in _finite_wrappers(self.runner):
            wrapper.agreement = self.agreement
        self._first_iter = self._iter
        self.place = Place(self.runner, self._iter, self._epoch)
        self.loss_parts = LossParts(unwrap_model(self.runner.model))
        with self.signals:
            try:
                return self.train()
            except BaseException as error:
                self._leave(error)
                raise
            finally:
                self.loss_parts.close()
                self.place.close()

    def train(self) -> nn.Module:
        """Run the epochs or iterations, hooks and validations; return the model."""
        raise NotImplementedError

    def check_batches(self) -> None:
        """Look whether there is anything to train on.

        Raises:
            ValueError: If an epoch has no batch.
        """
        if len(self.dataloader) == 0:
            raise ValueError(
                f"{len(self.dataloader.sampler)} samples a process make no batch of {self.dataloader.batch_size}: use "
                "a smaller train_dataloader.batch_size."
            )

    def validate(self) -> None:
        """Validate, and remember that it is done."""
        self.runner.val_loop.run()
        self.validated_iter = self._iter

    def batches(self, iterator: Iterator) -> Iterator[Any]:
        """Hand on the batches of a data loader; waiting for one is the place where a signal may interrupt."""
        while True:
            with self.signals.interruptible():
                try:
                    batch = next(iterator)
                except StopIteration:
                    return
            yield batch

    def run_iter(self, idx: int, data_batch: Any) -> None:  # type: ignore[override]
        """Train on one batch.

        Args:
            idx: Number of the batch in its epoch (or, without epochs, in the run).
            data_batch: The batch.
        """
        runner = self.runner
        runner.call_hook("before_train_iter", batch_idx=idx, data_batch=data_batch)
        number = self.agreement.largest(self.signals.received)
        if number != GO_ON:
            raise StopRequested(number, agreed=True)
        try:
            with explain_out_of_memory(data_batch):
                outputs = runner.model.train_step(data_batch, optim_wrapper=runner.optim_wrapper)
        except NotFiniteError as error:
            raise NotFiniteError(f"{self._not_finite(error, data_batch)} No step was taken.") from error
        self.place.step_is_complete()
        for wrapper in _finite_wrappers(runner):
            if wrapper.left_out is not None:
                self.place.restore_buffers()
                if wrapper.num_not_finite:
                    runner.logger.warning(
                        f"{self._not_finite(wrapper.left_out, data_batch)} The step was left out, the "
                        f"{wrapper.num_not_finite}. of {wrapper.max_not_finite} that may be."
                    )
        try:
            call_every_hook(runner, "after_train_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs)
        finally:
            self._iter += 1
            self.place.remember(self._iter, self._epoch)

    def _not_finite(self, error: NotFiniteError, batch: Any) -> str:
        """Say what is not finite in which iteration and on which images; keep the batch."""
        iteration = self._iter + 1
        name = f"iter_{iteration}.pt" if get_rank() == 0 else f"iter_{iteration}_rank_{get_rank()}.pt"
        losses, images = self.loss_parts.values(), image_paths(batch)
        facts = dict(iteration=iteration, seed=self.runner.seed, losses=losses, images=images, reason=str(error))
        try:
            file = str(save_batch(Path(self.runner.work_dir) / "not_finite" / name, batch, facts))
        except OSError as full:
            file = f"no file: {full.strerror}"
        parts = ", ".join(f"{part} {value:g}" for part, value in losses.items())
        shown = ", ".join(images[:4]) + (f" and {len(images) - 4} more" if len(images) > 4 else "")
        return (
            f"iteration {iteration}: {error} ({parts}); images: {shown or 'unknown'}. The whole batch is in {file} "
            "(docs/reliability.md)."
        )

    def _leave(self, error: BaseException) -> None:
        """Tell the other processes, save the place, and wait until that is done."""
        if isinstance(error, StopRequested) and not error.agreed:
            together = self.agreement.tell(error.number, _PATIENCE_SECONDS)
        elif isinstance(error, StopRequested | StoppedByAnotherProcess):
            together = True
        else:
            together = self.agreement.tell(FAILED, _PATIENCE_SECONDS)
        if is_main_process():
            self._save_place(error)
        if together:
            self.agreement.tell(GO_ON, _PATIENCE_SECONDS)

    def _save_place(self, error: BaseException) -> None:
        """Save the last place from which the run goes on exactly, and log where it is; never raise."""
        logger = self.runner.logger
        hook = next((h for h in self.runner.hooks if isinstance(h, AtomicCheckpointHook)), None)
        if self.place.is_torn:
            logger.error(
                "The error came in the middle of an optimizer step: the run can go on from its last checkpoint alone."
            )
            return
        if self.place.iter == self._first_iter:
            return
        if hook is None:
            logger.error("The place reached is not saved: default_hooks.checkpoint is no AtomicCheckpointHook.")
            return
        if error is hook.save_error:
            return
        self.place.restore()
        self._iter, self._epoch = self.place.iter, self.place.epoch
        try:
            saved = hook.save_place(self.runner)
        except (OSError, NotFiniteError) as failure:
            logger.error(f"The place reached could not be saved: {failure}")
            return
        reason = error.name if isinstance(error, StopRequested) else type(error).__name__
        if saved is not None:
            logger.warning(
                f"Stopped by {reason} after iteration {self._iter}: saved in {saved}, --resume goes on there."
            )
        else:
            logger.warning(f"Stopped by {reason} after iteration {self._iter}, which is the last checkpoint's.")


class _LoopHook(Hook):
    """What a training loop does at the stages of hooks."""

    priority = "VERY_HIGH"

    def __init__(self, loop: StoppableLoop) -> None:
        self._loop = loop

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Stop in a validation too: it can be longer than the time that a signal leaves."""
        self._loop.signals.raise_if_received()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note whether the validation that may be due at this iteration has been done."""
        meta = checkpoint["meta"]
        meta["validated"] = self._loop.validated_iter == meta["iter"]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take up the note."""
        meta = checkpoint.get("meta", {})
        if runner._resume and meta.get("validated"):
            self._loop.validated_iter = meta["iter"]


def call_every_hook(runner: Runner, stage: str, **arguments: Any) -> None:
    """Call a stage of all hooks, also of those behind one that fails, and raise the first error at the end.

    After an optimizer step the iteration has to be completed: schedules and averages must not lack it because, say, a
    log could not be written.
    """
    errors = []
    for hook in runner.hooks:
        try:
            if hasattr(hook, stage):
                getattr(hook, stage)(runner, **arguments)
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _finite_wrappers(runner: Runner) -> list[FiniteOptimWrapper]:
    return [w for w in all_optim_wrappers(runner.optim_wrapper) if isinstance(w, FiniteOptimWrapper)]
