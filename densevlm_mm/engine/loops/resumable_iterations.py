"""A training loop of a number of iterations that goes on where a checkpoint was saved, without loading in vain."""

from typing import Any

from mmengine.runner import IterBasedTrainLoop
from torch import nn
from torch.utils.data import DataLoader

from densevlm_mm.registry import LOOPS


@LOOPS.register_module()
class ResumableIterBasedTrainLoop(IterBasedTrainLoop):
    """``IterBasedTrainLoop`` that on resuming asks the sampler for the next samples.

    mmengine loads and throws away every batch that was seen before, which after tens of thousands of iterations takes
    hours. This loop counts the epochs of its sampler, a :class:`ResumableSampler`, and starts the current one at the
    iteration's place. The arguments are those of ``IterBasedTrainLoop``.
    """

    def run(self) -> nn.Module:
        """Train; the order of the images follows from the runner's seed, which a resumed checkpoint has set.

        Raises:
            ValueError: If the sampler cannot skip samples, or an epoch has no batch.
        """
        sampler = self.dataloader.sampler
        if not hasattr(sampler, "set_position"):
            raise ValueError(
                f"{type(sampler).__name__} cannot go on in the middle of an epoch; use the sampler "
                "densevlm_mm.ResumableSampler."
            )
        if len(self.dataloader) == 0:
            raise ValueError(
                f"{len(sampler)} samples a process make no batch of {self.dataloader.batch_size}: use a smaller "
                "batch_size."
            )
        if getattr(sampler, "follows_run", False):
            sampler.seed = self.runner.seed
        self.dataloader_iterator = _Batches(self.dataloader, self._iter)
        return super().run()


class _Batches:
    """The batches of epoch after epoch, of which the first ``num_done`` are not loaded.

    ``IterBasedTrainLoop.run`` asks for the batches that were seen before and drops them: it gets None for these.
    """

    def __init__(self, dataloader: DataLoader, num_done: int) -> None:
        self._dataloader = dataloader
        self._num_done = num_done
        self._next = 0
        self._epoch: Any = iter(())

    def __next__(self) -> Any:
        index, self._next = self._next, self._next + 1
        if index < self._num_done:
            return None
        epoch, in_epoch = divmod(index, len(self._dataloader))
        if index == self._num_done or in_epoch == 0:
            sampler: Any = self._dataloader.sampler
            sampler.set_epoch(epoch)
            sampler.set_position(in_epoch * (self._dataloader.batch_size or 1))
            self._epoch = iter(self._dataloader)
        return next(self._epoch)
