"""A training loop of a number of iterations that goes on where a checkpoint was saved, without loading in vain."""

from collections.abc import Iterator
from typing import Any

from mmengine.runner import IterBasedTrainLoop
from torch import nn

from densevlm_mm.engine.loops.every_hook import call_every_hook
from densevlm_mm.engine.loops.stoppable import StoppableLoop
from densevlm_mm.registry import LOOPS


@LOOPS.register_module()
class ResumableIterBasedTrainLoop(StoppableLoop, IterBasedTrainLoop):
    """``IterBasedTrainLoop`` that on resuming asks the sampler for the next samples.

    mmengine loads and throws away every batch that was seen before, which after tens of thousands of iterations takes
    hours. This loop counts the epochs of its sampler, a :class:`ResumableSampler`, and starts the current one at the
    iteration's place. A validation that was due and not finished is done first. The arguments are those of
    ``IterBasedTrainLoop``.
    """

    counts_iterations = True

    def train(self) -> nn.Module:
        """Run the iterations and the validations between them; return the model."""
        self.dataloader_iterator = None  # mmengine's, whose workers have begun to load the first epoch
        with self.signals.interruptible():
            self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        self._validate_if_due()
        batches = self.batches(self._from_here_on())
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(self._iter, next(batches))
            self._validate_if_due()
        call_every_hook(self.runner, "after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    def _from_here_on(self) -> Iterator[Any]:
        """The batches of epoch after epoch of the sampler, from the current iteration's on."""
        sampler: Any = self.dataloader.sampler
        epoch, num_done = divmod(self._iter, len(self.dataloader))
        while True:
            sampler.set_epoch(epoch)
            sampler.set_position(num_done * (self.dataloader.batch_size or 1))
            yield from self.dataloader
            epoch, num_done = epoch + 1, 0

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        if (
            self.validated_iter != self._iter
            and self.runner.val_loop is not None
            and self._iter >= self.val_begin
            and (self._iter % self.val_interval == 0 or self._iter == self._max_iters)
        ):
            self.validate()
