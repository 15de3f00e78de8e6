"""Settings of a run that can hardly be meant."""

from collections.abc import Iterator

from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from densevlm_mm.engine.loops.batch_plan import BatchPlan
from densevlm_mm.engine.optim_wrappers.accumulation import all_optim_wrappers

# Far above what trains anything; Adam's steps have the size of the rate whatever the gradient.
_LARGEST_RATE = 10.0
_LARGEST_RATE_OF_ADAM = 0.1


def implausible_settings(runner: Runner, plan: BatchPlan) -> Iterator[str]:
    """Say what can hardly be meant, before the first iteration.

    Args:
        runner: The runner, its optimizer and schedules built.
        plan: What an iteration is.
    """
    if plan.images_per_iteration > plan.num_samples:
        yield (
            f"an iteration is of {plan.images_per_iteration} images, the data set has {plan.num_samples}: lower "
            "train_dataloader.batch_size."
        )
    for wrapper in all_optim_wrappers(runner.optim_wrapper):
        yield from _implausible_rates(wrapper)
    built = runner.param_schedulers or []
    lists = built.values() if isinstance(built, dict) else [built]
    for index, schedule in enumerate(schedule for single in lists for schedule in single):
        length, unit = (runner.max_epochs, "epochs") if schedule.by_epoch else (runner.max_iters, "iterations")
        rises = getattr(schedule, "start_factor", 1.0) < getattr(schedule, "end_factor", 1.0)
        # LinearLR takes its last step at end - 1.
        if rises and schedule.end - 1 > length:
            yield (
                f"the warm-up of {schedule.end} {unit} is longer than the run of {length}, which never reaches its "
                f"learning rate: set param_scheduler.{index}.end to a part of that."
            )


def _implausible_rates(wrapper: OptimWrapper) -> Iterator[str]:
    kind = type(wrapper.optimizer).__name__
    limit = _LARGEST_RATE_OF_ADAM if "adam" in kind.lower() else _LARGEST_RATE
    rates = [group.get("initial_lr", group["lr"]) for group in wrapper.optimizer.param_groups]
    if max(rates) > limit:
        yield f"a learning rate of {max(rates):g} for {kind} is far above what trains: set optim_wrapper.optimizer.lr."
    if max(rates) == 0:
        yield "the learning rate is 0, so that nothing is learned: set optim_wrapper.optimizer.lr."
