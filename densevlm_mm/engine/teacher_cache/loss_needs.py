"""What a loss reads of a teacher's logits."""

from typing import Any

from densevlm_mm.engine.teacher_cache.options import CacheOptions
from densevlm_mm.models.losses import DecoupledAlignmentLoss, WeightedLosses


def retrieval_temperature(loss: Any, options: CacheOptions) -> float:
    """Check that a loss reads nothing that a cache leaves out, and say for which temperature that holds.

    Args:
        loss: The loss module of a run.
        options: Of the cache; with ``min_threshold`` 0 it leaves out nothing.

    Returns:
        The temperature of the loss's retrieval; 1 where nothing is left out and it does not matter.

    Raises:
        ValueError: If the loss reads more.
    """
    if options.min_threshold == 0:
        return 1.0
    parts: list[Any] = list(loss.parts.values()) if isinstance(loss, WeightedLosses) else [loss]
    readers = [part for part in parts if "teacher_logits" in getattr(part, "inputs", ())]
    for part in readers:
        # A subclass may read the logits of all regions.
        if type(part) is not DecoupledAlignmentLoss:
            raise ValueError(
                f"{type(part).__name__} may read the teacher's logits of all regions, and a cache with "
                f"min_threshold={options.min_threshold} keeps only those that are surer: give the hook's cache "
                "min_threshold=0."
            )
        if part.threshold < options.min_threshold:
            raise ValueError(
                f"the loss's threshold={part.threshold} keeps regions of which a cache with min_threshold="
                f"{options.min_threshold} does not keep the logits: give the hook's cache min_threshold="
                f"{part.threshold} (other records, in a folder of their own)."
            )
    temperatures: set[float] = {part.temperature for part in readers} or {1.0}
    if len(temperatures) > 1:
        raise ValueError(
            f"the losses have temperatures {sorted(temperatures)}, and a cache with min_threshold="
            f"{options.min_threshold} keeps confidences of one: give the hook's cache min_threshold=0."
        )
    return temperatures.pop()
