"""An epoch-based training loop that goes on in the middle of an epoch."""

from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from densevlm_mm.registry import LOOPS


@LOOPS.register_module()
class ResumableEpochBasedTrainLoop(EpochBasedTrainLoop):
    """``EpochBasedTrainLoop`` that resumes exactly where a checkpoint was saved, not at the start of its epoch.

    mmengine repeats the interrupted epoch from its beginning. This loop asks the sampler, a
    :class:`ResumableSampler`, for the rest of the epoch: nothing is seen twice, nothing is loaded in vain.
    """

    def run(self) -> nn.Module:
        """Train; the order of the images follows from the runner's seed, which a resumed checkpoint has set."""
        sampler = self.dataloader.sampler
        if getattr(sampler, "follows_run", False):
            sampler.seed = self.runner.seed
        return super().run()

    def run_epoch(self) -> None:
        """Iterate over what is left of the current epoch.

        Raises:
            ValueError: If the checkpoint's position does not lie in the current epoch, because the number of batches
                an epoch has changed, or if the sampler cannot skip.
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
        if num_done and not hasattr(sampler, "set_position"):
            raise ValueError(
                f"{type(sampler).__name__} cannot go on in the middle of an epoch; use the sampler "
                "densevlm_mm.ResumableSampler."
            )
        self.runner.call_hook("before_train_epoch")  # sets the sampler's epoch
        self.runner.model.train()
        if num_done:
            sampler.set_position(num_done * self.dataloader.batch_size)
        for idx, data_batch in enumerate(self.dataloader, start=num_done):
            self.run_iter(idx, data_batch)

        self.runner.call_hook("after_train_epoch")
        self._epoch += 1
