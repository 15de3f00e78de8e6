"""The denominator of a mean over regions or images when a batch is spread over several processes."""

import torch
from mmengine.dist import all_reduce
from torch import Tensor


def mean_over_processes(count: Tensor) -> Tensor:
    """Average a per-process count over all processes.

    DDP averages gradients. A sum of local losses divided by this value therefore has the same gradient as the mean
    over the regions of all processes, however unevenly they are spread; a division by the local count has not. Likewise
    the mean over processes of figures that are divided by it is the figure of the whole batch.

    Args:
        count: Numbers of regions (or images, pairs, ...) on this process, any shape: several denominators cost one
            reduction.

    Returns:
        The mean count, float32, at least a tiny positive number so that 0 regions give a loss of 0, never NaN.
    """
    mean = count.detach().to(torch.float32).clone()
    all_reduce(mean, op="mean")
    return mean.clamp(min=torch.finfo(torch.float32).tiny)
