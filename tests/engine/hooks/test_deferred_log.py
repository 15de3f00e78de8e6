import pytest
from mmengine.logging import MessageHub

from densevlm_mm.engine.hooks import DeferredLogHook
from tests.fixtures.toy_run import NumberedSamples, load, toy_runner


def history(hub: dict) -> dict[str, list[float]]:
    scalars = hub["log_scalars"]
    return {name: scalars[name]._log_history.tolist() for name in scalars if "loss" in name or "grad" in name}


def run(folder, deferred: bool, interval: int = 4, **options) -> tuple[dict, list[int]]:
    """Train; return the history of the run, and the iterations after which figures were read."""
    runner = toy_runner(folder, optim_wrapper=dict(clip_grad=dict(max_norm=1.0)), **options)
    hooks = [hook for hook in runner.hooks if type(hook).__name__ != "RuntimeInfoHook"] if deferred else runner.hooks
    reads: list[int] = []

    class Counting(DeferredLogHook):
        def _read(self, runner):
            reads.extend([runner.iter + 1] if self._pending else [])
            super()._read(runner)

    runner._hooks = hooks
    if deferred:
        runner.register_hook(Counting())
    for hook in runner.hooks:
        if type(hook).__name__ == "LoggerHook":
            hook.interval = interval
    try:
        runner.train()
    except ValueError:
        assert options["data"].broken
    return history(MessageHub.get_instance(runner.experiment_name).state_dict()), reads


@pytest.mark.parametrize("options", [dict(epochs=2), dict(iterations=7)])
def test_the_history_is_mmengines_and_read_where_the_log_is_written(tmp_path, options) -> None:
    expected, _ = run(tmp_path / "a", False, **options)
    found, reads = run(tmp_path / "b", True, **options)
    assert {"train/loss", "train/loss_fit", "train/loss_small", "train/grad_norm"} <= set(expected)
    assert found == expected
    assert reads == ([4, 6, 8, 10, 12] if "epochs" in options else [4, 6, 7])


def test_a_checkpoint_has_the_history_up_to_its_iteration(tmp_path) -> None:
    run(tmp_path, True, interval=100, checkpoint=dict(interval=3))
    assert [len(history(load(tmp_path / f"iter_{i}.pth")["message_hub"])["train/loss"]) for i in (9, 12)] == [9, 12]


def test_the_place_saved_after_an_error_has_it_too(tmp_path) -> None:
    run(tmp_path, True, interval=100, data=NumberedSamples(12, broken=(5,)))
    (saved,) = tmp_path.glob("iter_*.pth")
    checkpoint = load(saved)
    iteration = checkpoint["meta"]["iter"]
    assert iteration > 0
    assert len(history(checkpoint["message_hub"])["train/loss"]) == iteration
