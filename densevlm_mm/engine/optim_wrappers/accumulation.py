"""Where a run stands between two optimizer steps."""

from mmengine.optim import OptimWrapper, OptimWrapperDict


def all_optim_wrappers(wrapper: OptimWrapper | OptimWrapperDict) -> list[OptimWrapper]:
    """Return the optimizer wrappers of a runner's ``optim_wrapper``: one, or one for each optimizer."""
    return list(wrapper.values()) if isinstance(wrapper, OptimWrapperDict) else [wrapper]


def is_between_steps(wrapper: OptimWrapper | OptimWrapperDict) -> bool:
    """Whether the gradients of all iterations so far are in the weights, so that none are lost with the process."""
    return all(single.should_update() for single in all_optim_wrappers(wrapper))
