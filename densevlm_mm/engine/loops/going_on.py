"""Taking up a run where a checkpoint left it: the same order of images, the same image, the same schedules."""

from typing import Any

from mmengine.dist import get_rank
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from densevlm_mm.engine.loops.batch_plan import BatchPlan


def go_on(
    runner: Runner, dataloader: DataLoader, meta: dict[str, Any], iteration: int, epoch: int, counts_iterations: bool
) -> int:
    """Give the sampler the order of the checkpoint; find the iteration at which the same image comes next.

    Args:
        runner: The runner, its schedules loaded.
        dataloader: The loader of the training.
        meta: ``checkpoint['meta']`` of the checkpoint that was resumed; empty for a new run.
        iteration: Iterations that the checkpoint has done.
        epoch: Epochs that it has done.
        counts_iterations: Whether the length of the run is a number of iterations.

    Returns:
        The number of iterations done.

    Raises:
        ValueError: If the run cannot go on with this data set, batch or sampler.
    """
    sampler: Any = dataloader.sampler
    if getattr(sampler, "follows_run", False):
        sampler.seed = run_seed(runner)
    if not meta:
        return iteration
    old = BatchPlan.from_checkpoint(meta.get("batches"))
    if old is None:
        runner.logger.warning(
            "The checkpoint does not say which images its iterations were of: it is taken for granted that data set, "
            "batch and number of processes are the same."
        )
        return iteration
    if old.seed is not None and getattr(sampler, "seed", None) not in (None, old.seed):
        runner.logger.warning(
            f"The images keep the order of the checkpoint, seed {old.seed} instead of {sampler.seed}."
        )
        sampler.seed = old.seed
    schedules = running_schedules(runner)
    if schedules and meta.get("max_iters") not in (None, runner.max_iters):
        runner.logger.warning(
            f"The run was to have {meta['max_iters']} iterations and now has {runner.max_iters}: "
            f"{', '.join(schedules)} goes on as it was planned then."
        )
    lengths = ["train_cfg.max_iters"] if counts_iterations else []
    return BatchPlan.of(dataloader).continue_from(old, iteration, epoch, schedules + lengths)


def run_seed(runner: Runner) -> int:
    """The seed that all processes of a run share: a resumed one has it from its checkpoint."""
    differs = runner._randomness_cfg.get("diff_rank_seed", False)
    return runner.seed - get_rank() if differs else runner.seed


def running_schedules(runner: Runner) -> list[str]:
    """Name the schedules that still change something from one iteration to the next."""
    built = runner.param_schedulers or []
    lists = built.values() if isinstance(built, dict) else [built]
    running = [s for single in lists for s in single if not s.by_epoch and s.state_dict()["_global_step"] + 1 < s.end]
    return sorted({type(schedule).__name__ for schedule in running})
