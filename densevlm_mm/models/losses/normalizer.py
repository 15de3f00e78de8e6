"""The denominator of a mean over regions when a batch is spread over several processes."""

import torch
from mmengine.dist import all_reduce
from torch import Tensor


def mean_over_processes(count: Tensor) -> Tensor:
    """Average a per-process count over all processes.

    DDP averages gradients. A sum of local losses divided by this value therefore has the same gradient as the mean
    over the regions of all processes, however unevenly they are spread; a division by the local count has not.

    Args:
        count: Number of regions on this process, any shape.

    Returns:
        The mean count, float32, at least a tiny positive number so that 0 regions give a loss of 0, never NaN.
    """
    mean = count.detach().to(torch.float32).clone()
    all_reduce(mean, op="mean")
    return mean.clamp(min=torch.finfo(torch.float32).tiny)
