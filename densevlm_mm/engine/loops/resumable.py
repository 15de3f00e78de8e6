"""An epoch-based training loop that goes on in the middle of an epoch."""

from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from densevlm_mm.engine.loops.every_hook import call_every_hook
from densevlm_mm.engine.loops.stoppable import StoppableLoop
from densevlm_mm.registry import LOOPS


@LOOPS.register_module()
class ResumableEpochBasedTrainLoop(StoppableLoop, EpochBasedTrainLoop):
    """``EpochBasedTrainLoop`` that resumes exactly where a checkpoint was saved, not at the start of its epoch.

    mmengine repeats the interrupted epoch from its beginning. This loop asks the sampler, a
    :class:`ResumableSampler`, for the rest of the epoch: nothing is seen twice, nothing is loaded in vain. A validation
    that was due and not finished is done first. The arguments are those of ``EpochBasedTrainLoop``.
    """

    def train(self) -> nn.Module:
        """Run the epochs and their validations; return the model."""
        with self.signals.interruptible():
            self.runner.call_hook("before_train")
        self._validate_if_due()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate_if_due()
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_epoch(self) -> None:
        """Iterate over what is left of the current epoch.

        Raises:
            ValueError: If the checkpoint's position does not lie in the current epoch, because the number of batches
                an epoch has changed.
        """
        num_done = self._iter - self._epoch * len(self.dataloader)
        if not 0 <= num_done <= len(self.dataloader):
            raise ValueError(
                f"cannot resume iteration {self._iter} in epoch {self._epoch + 1} of {len(self.dataloader)} "
                "iterations an epoch: "
                "the data set, the batch size or the number of processes differs from that of the checkpoint. "
                "Restore them, or start anew from its weights with load_from."
            )
        sampler = self.dataloader.sampler
        self.runner.call_hook("before_train_epoch")  # sets the sampler's epoch
        self.runner.model.train()
        if num_done:
            sampler.set_position(num_done * self.dataloader.batch_size)
        for idx, data_batch in enumerate(self.batches(iter(self.dataloader)), start=num_done):
            self.run_iter(idx, data_batch)
        try:
            call_every_hook(self.runner, "after_train_epoch")
        finally:
            self._epoch += 1
            self.place.remember(self._iter, self._epoch)

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        at_end_of_epoch = self._epoch > 0 and self._iter == self._epoch * len(self.dataloader)
        if (
            at_end_of_epoch
            and self.validated_iter != self._iter
            and self.runner.val_loop is not None
            and self._epoch >= self.val_begin
            and (self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs)
        ):
            self.validate()
