"""AdamW whose state is divided among the processes of a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.dist import is_distributed
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim import AdamW

from densevlm_mm.engine.optim_wrappers.accumulation import all_optim_wrappers
from densevlm_mm.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class ZeroAdamW(ZeroRedundancyOptimizer):
    """AdamW with the state of every parameter on one process alone (ZeRO, stage 1), for students that do not fit.

    The steps are AdamW's. The state, two numbers for each weight, takes a part of the memory as large as the number of
    processes is great; weights and gradients stay on every process. Checkpoints are AdamW's too: a run may go on with
    the one, with the other, and with another number of processes.

    mmengine's own ``ZeroRedundancyOptimizer`` (https://github.com/open-mmlab/mmengine/pull/551) gathers the state
    whenever it is asked for it, which ``Runner.save_checkpoint`` does in the first process alone: it waits forever.

    Args:
        params: Parameters or groups of them.
        kwargs: Arguments of AdamW.

    Raises:
        ValueError: If the processes are not connected.

    Example:
        >>> optim_wrapper = dict(optimizer=dict(type="ZeroAdamW", lr=1e-5, betas=(0.9, 0.98), weight_decay=0.1))
    """

    def __init__(self, params: Any, **kwargs: Any) -> None:
        if not is_distributed():
            raise ValueError(
                "ZeroAdamW divides its state among processes: start several (tools/dist_train.sh), or use AdamW"
            )
        super().__init__(params, optimizer_class=AdamW, **kwargs)


@contextmanager
def gathered_state(wrapper: OptimWrapper | OptimWrapperDict) -> Iterator[None]:
    """Have the state of divided optimizers in the main process's memory (not its GPU's) for a block.

    All processes have to enter it; nothing happens for other optimizers.

    Args:
        wrapper: A runner's ``optim_wrapper``.
    """
    divided = _divided(wrapper)
    for optimizer in divided:
        optimizer.consolidate_state_dict()
    try:
        yield
    finally:
        for optimizer in divided:
            # torch keeps them, and would take them for those of later steps.
            optimizer._all_state_dicts.clear()  # type: ignore[attr-defined]


def has_divided_state(wrapper: OptimWrapper | OptimWrapperDict) -> bool:
    """Whether no process alone has the whole state of the optimizers."""
    return bool(_divided(wrapper))


def _divided(wrapper: OptimWrapper | OptimWrapperDict) -> list[ZeroRedundancyOptimizer]:
    optimizers = [single.optimizer for single in all_optim_wrappers(wrapper)]
    return [optimizer for optimizer in optimizers if isinstance(optimizer, ZeroRedundancyOptimizer)]
