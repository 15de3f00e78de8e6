"""What all processes of a run know at the same time: whether to go on, to stop, or that one of them has failed."""

import time

import torch
import torch.distributed as dist
from mmengine.dist import get_world_size

GO_ON = 0
# Below these two lie the numbers of signals.
NOT_FINITE = 1000
FAILED = 1001


class StoppedByAnotherProcess(SystemExit):
    """Another process of the run has failed and said so: this one ends quietly, with status 1."""

    def __init__(self) -> None:
        super().__init__(1)


class Agreement:
    """The largest of the numbers that the processes bring, over gloo, so that no GPU waits for it.

    A process that fails brings `FAILED` to the next meeting of the others, whichever that is: they then stop too,
    instead of waiting for it in a collective operation of the model. With one process nothing is exchanged.
    """

    def __init__(self) -> None:
        self._group: dist.ProcessGroup | None = None
        if get_world_size() > 1:
            group = dist.new_group(backend="gloo")
            self._group = group if isinstance(group, dist.ProcessGroup) else None

    def largest(self, value: int) -> int:
        """Meet the other processes; return the largest number that anyone brought.

        Raises:
            StoppedByAnotherProcess: If it is `FAILED`.
            ConnectionError: If a process has ended without a word.
        """
        if self._group is None:
            return value
        number = torch.tensor(value)
        try:
            dist.all_reduce(number, op=dist.ReduceOp.MAX, group=self._group)
        except RuntimeError as error:
            raise ConnectionError(
                f"another process of the run has ended or cannot be reached ({str(error).splitlines()[0][:200]})"
            ) from error
        if int(number) == FAILED:
            raise StoppedByAnotherProcess
        return int(number)

    def tell(self, value: int, patience: float) -> bool:
        """Bring a number to the next meeting of the others without relying on it that they come.

        Args:
            value: The number, usually `FAILED`.
            patience: Seconds to wait for them. They do not come if they are waiting for this process elsewhere.

        Returns:
            Whether they came.
        """
        if self._group is None:
            return True
        try:
            work = dist.all_reduce(torch.tensor(value), op=dist.ReduceOp.MAX, group=self._group, async_op=True)
            until = time.monotonic() + patience
            while work is not None and not work.is_completed() and time.monotonic() < until:
                time.sleep(0.02)
            return work is not None and work.is_success()
        except RuntimeError:  # they are gone
            return False
