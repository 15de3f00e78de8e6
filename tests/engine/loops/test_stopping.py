"""Whatever stops a run, the resumed one ends as the undisturbed one, to the bit."""

import os
import signal
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from densevlm_mm.registry import OPTIMIZERS
from tests.fixtures.toy_run import MeanError, NumberedSamples, load, state_of, toy_runner

LENGTHS = {"epochs": dict(epochs=2), "iterations": dict(iterations=12)}
AT = 8  # the iteration (from 0) in which things happen: the third of the second epoch


class Trouble(Hook):
    """Do something at a stage of the training iteration `AT`, or whenever another stage comes."""

    def __init__(self, stage: str, trouble, priority: str = "NORMAL") -> None:
        self.priority = priority
        self.trouble, self.every_time = trouble, not stage.endswith("train_iter")
        setattr(self, stage, self._at)

    def _at(self, runner: Runner, *args, **kwargs) -> None:
        if self.every_time or runner.iter == AT:
            self.trouble()


def kill_with(number: int):
    return lambda: os.kill(os.getpid(), number)


def fail() -> None:
    raise RuntimeError("trouble")


@pytest.fixture(scope="module", params=LENGTHS)
def whole(request, tmp_path_factory) -> tuple[dict, dict, list]:
    """The options of a run, and the state and the samples of the undisturbed one."""
    options = dict(LENGTHS[request.param], val=True)
    runner = toy_runner(tmp_path_factory.mktemp(request.param), **options)
    runner.train()
    return options, state_of(runner), runner.model.seen


def stopped(work_dir: Path, error: type[BaseException], options: dict, **kwargs) -> tuple[Runner, BaseException]:
    runner = toy_runner(work_dir, **{**options, **kwargs})
    with pytest.raises(error) as caught:
        runner.train()
    return runner, caught.value


def resumed(work_dir: Path, options: dict) -> Runner:
    runner = toy_runner(work_dir, resume=True, **options)
    runner.train()
    return runner


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 143)],
    ids=["TERM", "INT", "USR1"],
)
def test_a_signal_ends_the_run_at_its_place_with_its_status(whole, tmp_path, number, status) -> None:
    options, state, seen = whole
    hook = Trouble("after_train_iter", kill_with(number))
    runner, end = stopped(tmp_path, SystemExit, options, custom_hooks=[hook])
    assert end.code == status
    assert (tmp_path / f"iter_{AT + 1}.pth").is_file()
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
    later = resumed(tmp_path, options)
    assert runner.model.seen + later.model.seen == seen
    torch.testing.assert_close(state_of(later), state, rtol=0, atol=0)


STAGES = [
    ("before_train_iter", "NORMAL", AT),
    ("after_train_iter", "VERY_HIGH", AT + 1),  # before the schedules have been stepped
    ("after_train_iter", "LOWEST", AT + 1),
    ("after_train_epoch", "VERY_HIGH", None),
    ("before_val_iter", "NORMAL", None),
    ("after_val_epoch", "VERY_HIGH", None),
]


@pytest.mark.parametrize(("stage", "priority", "saved"), STAGES, ids=[f"{stage}-{p}" for stage, p, _ in STAGES])
def test_an_error_of_a_hook_loses_nothing(whole, tmp_path, stage, priority, saved) -> None:
    options, state, _ = whole
    stopped(tmp_path, RuntimeError, options, custom_hooks=[Trouble(stage, fail, priority)])
    if saved is not None:
        assert (tmp_path / f"iter_{saved}.pth").is_file()
    torch.testing.assert_close(state_of(resumed(tmp_path, options)), state, rtol=0, atol=0)


def test_an_error_in_the_forward_pass_loses_nothing(whole, tmp_path) -> None:
    """It comes after the running statistics were moved."""
    options, state, _ = whole
    runner = toy_runner(tmp_path, **options)
    runner.model.layers[4].register_forward_hook(
        lambda *_: fail() if runner.iter == AT and runner.model.training else None
    )
    with pytest.raises(RuntimeError, match="trouble"):
        runner.train()
    assert (tmp_path / f"iter_{AT}.pth").is_file()
    torch.testing.assert_close(state_of(resumed(tmp_path, options)), state, rtol=0, atol=0)


def test_a_broken_training_image_loses_nothing_and_may_be_mended(whole, tmp_path) -> None:
    options, state, seen = whole
    data = NumberedSamples(12, broken=(seen[AT][1],))
    runner, error = stopped(tmp_path, ValueError, options, data=data, param_scheduler=None)
    # In the first epoch it comes too, at another place.
    assert f"image_{seen[AT][1]}.jpg" in str(error)
    assert (tmp_path / f"iter_{runner.iter}.pth").is_file()
    torch.testing.assert_close(state_of(resumed(tmp_path, options)), state, rtol=0, atol=0)


def test_a_stopped_validation_is_made_up_for(whole, tmp_path, monkeypatch) -> None:
    options, _, _ = whole
    stopped(tmp_path, SystemExit, options, custom_hooks=[Trouble("before_val_iter", kill_with(signal.SIGTERM))])
    (saved,) = tmp_path.glob("iter_*.pth")
    assert not load(saved)["meta"]["validated"]
    monkeypatch.setattr(MeanError, "evaluations", 0)
    resumed(tmp_path, options)
    assert MeanError.evaluations == (2 if "epochs" in options else 3)


def test_a_signal_while_waiting_for_data_is_heard_at_once(tmp_path) -> None:
    class Slow(NumberedSamples):
        def __getitem__(self, index: int) -> dict:
            if len(self.loaded) == 4:
                os.kill(os.getpid(), signal.SIGTERM)
                raise AssertionError("the signal was not heard")
            return super().__getitem__(index)

    stopped(tmp_path, SystemExit, dict(data=Slow(12)))
    assert (tmp_path / "iter_2.pth").is_file()


@OPTIMIZERS.register_module()
class TearingAdamW(torch.optim.AdamW):
    """Moves the first of the weights alone in its fourth step."""

    def step(self, closure=None) -> None:
        super().step(closure)
        first, *_, last = self.param_groups[0]["params"]
        if self.state[first]["step"] == 4:
            last.data.zero_()
            fail()


def test_an_error_in_the_middle_of_an_optimizer_step_is_not_saved(tmp_path) -> None:
    optim_wrapper = dict(optimizer=dict(type="densevlm_mm.TearingAdamW"))
    stopped(tmp_path, RuntimeError, dict(optim_wrapper=optim_wrapper, checkpoint=dict(interval=2)))
    assert [path.name for path in tmp_path.glob("*.pth")] == ["iter_2.pth"]
    (log,) = tmp_path.glob("*/*.log")
    assert "in the middle of an optimizer step" in log.read_text()


@pytest.mark.parametrize("trouble", [fail, kill_with(signal.SIGTERM)], ids=["error", "signal"])
def test_accumulated_gradients_are_made_again(tmp_path, trouble) -> None:
    """Iterations of which the gradients were not yet in the weights are repeated, with their schedules."""
    options = dict(epochs=2, optim_wrapper=dict(accumulative_counts=5))
    whole = toy_runner(tmp_path / "whole", **options)
    whole.train()
    hook = Trouble("after_train_iter", trouble)  # iteration 9 of 12: the 4th after a step
    stopped(tmp_path / "run", BaseException, options, custom_hooks=[hook])
    assert (tmp_path / "run" / "iter_5.pth").is_file()
    later = resumed(tmp_path / "run", options)
    torch.testing.assert_close(state_of(later), state_of(whole), rtol=0, atol=0)


def test_a_run_that_stops_before_its_first_step_leaves_nothing(tmp_path) -> None:
    hook = Trouble("before_train", kill_with(signal.SIGTERM))
    stopped(tmp_path, SystemExit, dict(custom_hooks=[hook]))
    assert not list(tmp_path.glob("*.pth"))
    assert not (tmp_path / "last_checkpoint").exists()
