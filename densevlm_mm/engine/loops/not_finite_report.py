"""What to say about a batch whose loss or gradient is not finite, and how to keep it."""

from pathlib import Path
from typing import Any

from mmengine.dist import get_rank
from mmengine.runner import Runner

from densevlm_mm.engine.not_finite import NotFiniteError
from densevlm_mm.engine.replay import image_paths, save_batch

_NUM_SHOWN = 4


def report_not_finite(runner: Runner, error: NotFiniteError, batch: Any, losses: dict[str, float]) -> str:
    """Write the batch to ``not_finite/`` in the work directory; name iteration, parts of the loss, images and file.

    Args:
        runner: The runner, in the iteration.
        error: What is not finite.
        batch: What the model was given.
        losses: The parts of the loss.
    """
    iteration = runner.iter + 1
    images = image_paths(batch)
    facts = dict(iteration=iteration, seed=runner.seed, losses=losses, images=images, reason=str(error))
    name = f"iter_{iteration}.pt" if get_rank() == 0 else f"iter_{iteration}_rank_{get_rank()}.pt"
    try:
        kept = f"the whole batch is in {save_batch(Path(runner.work_dir) / 'not_finite' / name, batch, facts)}"
    except OSError as full:
        kept = f"the batch could not be kept: {full.strerror}"
    parts = ", ".join(f"{part} {value:g}" for part, value in losses.items())
    shown = ", ".join(images[:_NUM_SHOWN])
    more = f" and {len(images) - _NUM_SHOWN} more" if len(images) > _NUM_SHOWN else ""
    return f"iteration {iteration}: {error} ({parts}); images: {shown or 'unknown'}{more}; {kept}"
