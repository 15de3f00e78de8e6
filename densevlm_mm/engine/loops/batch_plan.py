"""Which images an iteration trains on, and whether a run may go on with another plan."""

from dataclasses import asdict, dataclass
from typing import Any

from mmengine.dist import get_world_size
from torch.utils.data import DataLoader

_REMEDY = "or start a new run from its weights with load_from."


@dataclass(frozen=True)
class BatchPlan:
    """What follows from the data set, the sampler, the batch size and the number of processes; checkpoints keep it.

    Args:
        num_samples: Samples of the data set.
        images_per_iteration: Samples of a batch of all processes together.
        iterations_per_epoch: Batches of an epoch.
        num_processes: Processes that share a batch.
        sampler: Class of the sampler.
        seed: Seed of the order.
        shuffle: Whether the order is drawn at all.
        shard: The sampler's ``shard``.
        order_facts: What else the sampler says that its order depends on.
    """

    num_samples: int
    images_per_iteration: int
    iterations_per_epoch: int
    num_processes: int
    sampler: str = ""
    seed: int | None = None
    shuffle: bool | None = None
    shard: tuple[int, ...] = ()
    order_facts: str = ""

    @classmethod
    def of(cls, dataloader: DataLoader) -> "BatchPlan":
        """Read the plan off a data loader."""
        sampler: Any = dataloader.sampler
        num_processes = getattr(sampler, "world_size", get_world_size())
        batch_size = dataloader.batch_size or getattr(dataloader.batch_sampler, "batch_size", 1)
        return cls(
            num_samples=len(dataloader.dataset),  # type: ignore[arg-type]
            images_per_iteration=batch_size * num_processes,
            iterations_per_epoch=len(dataloader),
            num_processes=num_processes,
            sampler=type(sampler).__name__,
            seed=getattr(sampler, "seed", None),
            shuffle=getattr(sampler, "shuffle", None),
            shard=tuple(getattr(sampler, "shard", ())),
            order_facts=getattr(sampler, "order_facts", ""),
        )

    @classmethod
    def from_checkpoint(cls, stored: Any) -> "BatchPlan | None":
        """Make the plan from what :meth:`for_checkpoint` has stored; ``None`` if that is not it."""
        try:
            return cls(**{**stored, "shard": tuple(stored["shard"])})
        except (TypeError, KeyError):
            return None

    def for_checkpoint(self) -> dict[str, Any]:
        """Return plain values to store."""
        return {**asdict(self), "shard": list(self.shard)}

    def continue_from(self, old: "BatchPlan", iteration: int, epoch: int, running_schedules: list[str]) -> int:
        """Translate the iteration at which a checkpoint was saved to this plan: the same image comes next.

        Args:
            old: The plan of the checkpoint.
            iteration: Number of iterations done there.
            epoch: Number of epochs done there.
            running_schedules: What still changes with the iterations, e.g. the learning rate's schedule: with another
                number of images in an iteration it would not be the same.

        Returns:
            The number of iterations done in this plan.

        Raises:
            ValueError: If no iteration of this plan comes next; says why.
        """
        if self.num_samples != old.num_samples:
            raise ValueError(
                f"cannot go on in the middle of a run: its data set had {old.num_samples} images, this one has "
                f"{self.num_samples}, so that images would come twice or never. Restore it, {_REMEDY}"
            )
        if self._order() != old._order():
            raise ValueError(
                f"cannot go on in the middle of a run: its sampler was {old._order()}, now it is {self._order()}. "
                f"Restore it, {_REMEDY}"
            )
        # As many images an iteration are the same images, however many processes share them.
        if self.images_per_iteration == old.images_per_iteration:
            if self.iterations_per_epoch != old.iterations_per_epoch:
                raise ValueError(
                    f"cannot go on in the middle of a run: its epochs had {old.iterations_per_epoch} iterations, now "
                    f"they have {self.iterations_per_epoch}. Restore drop_last or the number of processes, {_REMEDY}"
                )
            return iteration
        done = iteration - epoch * old.iterations_per_epoch
        seen = done * old.images_per_iteration
        # The same image would come with another learning rate.
        if running_schedules:
            follower = ", ".join(running_schedules)
            raise ValueError(f"{self._other_batch(old)}: {follower} follows the iterations. {self._same(old)}")
        if done == old.iterations_per_epoch:  # the epoch is over, of whatever rest was dropped
            return (epoch + 1) * self.iterations_per_epoch
        if seen % self.images_per_iteration:
            raise ValueError(
                f"{self._other_batch(old)}: the {seen} images that the epoch has seen are no whole number of batches. "
                f"{self._same(old)}"
            )
        return epoch * self.iterations_per_epoch + seen // self.images_per_iteration

    def _order(self) -> str:
        facts = f", {self.order_facts}" if self.order_facts else ""
        return f"{self.sampler}(shuffle={self.shuffle}, shard={self.shard}{facts})"

    def _other_batch(self, old: "BatchPlan") -> str:
        return (
            f"cannot go on with {self.images_per_iteration} images an iteration ({self.num_processes} x "
            f"{self.images_per_iteration // self.num_processes}) where the run had {old.images_per_iteration} "
            f"({old.num_processes} x {old.images_per_iteration // old.num_processes})"
        )

    def _same(self, old: "BatchPlan") -> str:
        size, rest = divmod(old.images_per_iteration, self.num_processes)
        if rest:
            return f"Use a number of processes that divides {old.images_per_iteration}, {_REMEDY}"
        return f"Set train_dataloader.batch_size={size}, {_REMEDY}"
