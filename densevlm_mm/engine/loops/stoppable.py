"""What the training loops share: they stop at a place from which the run goes on exactly, whatever stops them."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import nn

from densevlm_mm.engine.agreement import FAILED, GO_ON, Agreement, StoppedByAnotherProcess
from densevlm_mm.engine.hooks.atomic_checkpoint import AtomicCheckpointHook
from densevlm_mm.engine.loops.batch_plan import BatchPlan
from densevlm_mm.engine.loops.every_hook import call_every_hook
from densevlm_mm.engine.loops.going_on import go_on
from densevlm_mm.engine.loops.loss_parts import LossParts
from densevlm_mm.engine.loops.not_finite_report import report_not_finite
from densevlm_mm.engine.loops.out_of_memory import explain_out_of_memory
from densevlm_mm.engine.loops.place import Place
from densevlm_mm.engine.loops.plausibility import implausible_settings
from densevlm_mm.engine.loops.stop_signals import StopRequested, StopSignals
from densevlm_mm.engine.not_finite import NotFiniteError
from densevlm_mm.engine.optim_wrappers.accumulation import all_optim_wrappers
from densevlm_mm.engine.optim_wrappers.finite import FiniteOptimWrapper
from densevlm_mm.engine.unwrap import unwrap_model

# How long a process that failed waits for the others, and these for the checkpoint: torchrun ends all after 30 s.
_PATIENCE_SECONDS = 12.0


class StoppableLoop(BaseLoop):
    """A training loop that saves the place it has reached when a signal or an error ends it.

    The place is that after the last complete optimizer step; saving needs an :class:`AtomicCheckpointHook`. Processes
    agree once before each forward pass whether to go on, so that all stop at the same iteration. Checkpoints say which
    images an iteration was of, and a resumed run goes on from the same one or says why it cannot.

    Raises:
        ValueError: If an epoch has no batch.
    """

    runner: Runner
    _iter: int
    _epoch: int
    counts_iterations = False  # whether the length of the run is a number of iterations

    def __init__(self, runner: Runner, dataloader: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(runner, dataloader, *args, **kwargs)
        if len(self.dataloader) == 0:
            raise ValueError(
                f"{len(self.dataloader.sampler)} samples a process make no batch of {self.dataloader.batch_size}: use "
                "a smaller train_dataloader.batch_size."
            )
        if isinstance(dataloader, dict) and "seed" not in dataloader["sampler"]:
            # mmengine's Runner gives the seed of its start to the sampler, which a resumed run does not go on with.
            self.dataloader.sampler.follows_run = True
        self.signals = StopSignals()
        self.validated_iter = 0
        self.resumed_meta: dict[str, Any] = {}
        runner.register_hook(_LoopHook(self))

    def run(self) -> nn.Module:
        """Train.

        Raises:
            StopRequested: When a signal has asked to stop; its exit status is 143 or 130.
        """
        self._check_sampler()
        self._go_on()
        for sentence in implausible_settings(self.runner, BatchPlan.of(self.dataloader)):
            self.runner.logger.warning(f"This can hardly be meant: {sentence}")
        self.agreement = Agreement()
        for wrapper in _finite_wrappers(self.runner):
            wrapper.agreement = self.agreement
        self.loss_parts = LossParts(unwrap_model(self.runner.model))
        self.place = Place(self.runner, self._iter, self._epoch)
        self._first_iter = self._iter
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

    def validate(self) -> None:
        """Validate, and remember that it is done."""
        with explain_out_of_memory(None):
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
                except (OSError, EOFError) as error:
                    if self.dataloader.num_workers and not str(error).startswith("Caught "):
                        # Not of a data set, which torch says, but of the connection to its process.
                        raise ChildProcessError(f"DataLoader worker has ended ({error})") from error
                    raise
            yield batch

    def run_iter(self, idx: int, data_batch: Any) -> None:  # type: ignore[override]
        """Train on one batch.

        Args:
            idx: Number of the batch in its epoch (or, without epochs, in the run).
            data_batch: The batch.
        """
        self.runner.call_hook("before_train_iter", batch_idx=idx, data_batch=data_batch)
        number = self.agreement.largest(self.signals.received)
        if number != GO_ON:
            raise StopRequested(number, agreed=True)
        outputs = self._step(data_batch)
        try:
            call_every_hook(self.runner, "after_train_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs)
        finally:
            self._iter += 1
            self.place.remember(self._iter, self._epoch)

    def _step(self, batch: Any) -> dict[str, Any]:
        runner = self.runner
        try:
            with explain_out_of_memory(batch):
                outputs = runner.model.train_step(batch, optim_wrapper=runner.optim_wrapper)
        except NotFiniteError as error:
            report = report_not_finite(runner, error, batch, self.loss_parts.values())
            raise NotFiniteError(f"{report} (docs/reliability.md). No step was taken.") from error
        self.place.step_is_complete()
        for wrapper in _finite_wrappers(runner):
            if wrapper.left_out is None:
                continue
            self.place.restore_buffers()
            outputs = {}  # the averages of the log would be nan for a long time
            if wrapper.num_not_finite:
                report = report_not_finite(runner, wrapper.left_out, batch, self.loss_parts.values())
                which = f"number {wrapper.num_not_finite} of {wrapper.max_not_finite} that may be"
                runner.logger.warning(f"{report}. The step was left out, {which}.")
        return outputs

    def _check_sampler(self) -> None:
        sampler = self.dataloader.sampler
        if (self.counts_iterations or self._iter % len(self.dataloader)) and not hasattr(sampler, "set_position"):
            raise ValueError(
                f"{type(sampler).__name__} cannot go on in the middle of an epoch; use the sampler "
                "densevlm_mm.ResumableSampler."
            )

    def _go_on(self) -> None:
        """Take up the order and the place of the checkpoint, if the run was resumed from one."""
        iteration = go_on(
            self.runner, self.dataloader, self.resumed_meta, self._iter, self._epoch, self.counts_iterations
        )
        if self.resumed_meta.get("validated"):
            self.validated_iter = iteration
        if iteration != self._iter:
            self.runner.logger.warning(
                f"Iteration {self._iter} of the checkpoint is iteration {iteration} with this batch: the same image "
                "comes next."
            )
            self._iter = iteration
            for wrapper in all_optim_wrappers(self.runner.optim_wrapper):
                wrapper.initialize_count_status(self.runner.model, iteration, self._max_iters)

    def _leave(self, error: BaseException) -> None:
        """Tell the other processes, save the place, and wait until that is done."""
        if isinstance(error, StopRequested) and not error.agreed:
            together = self.agreement.tell(error.number, _PATIENCE_SECONDS)
        elif isinstance(error, StopRequested | StoppedByAnotherProcess):
            together = True
        else:
            together = self.agreement.tell(FAILED, _PATIENCE_SECONDS)
        if is_main_process() and self.place.iter != self._first_iter:
            self._save_place(error)
        with suppress(OSError):
            self.runner.visualizer.close()  # what it holds back for minutes
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
        where = f"saved in {saved}, --resume goes on there" if saved else "which is that of the last checkpoint"
        logger.warning(f"Stopped by {reason} after iteration {self._iter}: {where}.")


class _LoopHook(Hook):
    """What a training loop does at the stages of hooks."""

    priority = "VERY_HIGH"

    def __init__(self, loop: StoppableLoop) -> None:
        self._loop = loop

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Stop in a validation too: it can be longer than the time that a signal leaves."""
        self._loop.signals.raise_if_received()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note what an iteration is, and whether the validation that may be due after this one has been done."""
        meta = checkpoint["meta"]
        meta["batches"] = BatchPlan.of(self._loop.dataloader).for_checkpoint()
        meta["max_iters"] = self._loop._max_iters
        meta["validated"] = self._loop.validated_iter == meta["iter"]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take up the notes."""
        if runner._resume:
            self._loop.resumed_meta = dict(checkpoint.get("meta", {}))


def _finite_wrappers(runner: Runner) -> list[FiniteOptimWrapper]:
    return [w for w in all_optim_wrappers(runner.optim_wrapper) if isinstance(w, FiniteOptimWrapper)]
