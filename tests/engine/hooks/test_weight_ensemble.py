import pytest
import torch

from densevlm_mm.engine.hooks import WeightEnsembleHook


class StubRunner:
    """The two attributes of a runner that the hook reads."""

    def __init__(self, model: torch.nn.Module, resume: bool = False) -> None:
        self.model = model
        self._resume = resume


def trained_runner(hook: WeightEnsembleHook) -> tuple[StubRunner, torch.Tensor, torch.Tensor]:
    model = torch.nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    runner = StubRunner(model)
    hook.before_train(runner)
    initial = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(torch.randn(2, 3))
    return runner, initial, model.weight.detach().clone()


@pytest.mark.parametrize("phase", ["val", "test"])
def test_evaluates_ensemble_and_restores_raw_weights_bit_for_bit(phase: str) -> None:
    hook = WeightEnsembleHook(alpha=0.75)
    runner, initial, raw = trained_runner(hook)
    getattr(hook, f"before_{phase}_epoch")(runner)
    torch.testing.assert_close(runner.model.weight.detach(), 0.75 * raw + 0.25 * initial)
    assert torch.equal(runner.model.bias, hook.initial["bias"])  # what did not change stays to the bit
    getattr(hook, f"after_{phase}_epoch")(runner)
    assert torch.equal(runner.model.weight, raw)


def test_alpha_one_changes_nothing_and_alpha_zero_gives_the_start() -> None:
    for alpha in (0.0, 1.0):
        hook = WeightEnsembleHook(alpha)
        runner, initial, raw = trained_runner(hook)
        hook.before_val_epoch(runner)
        assert torch.equal(runner.model.weight, raw if alpha else initial)


def test_checkpoint_carries_the_start_and_resume_takes_it_from_there() -> None:
    hook = WeightEnsembleHook()
    runner, initial, raw = trained_runner(hook)
    checkpoint = dict(state_dict=runner.model.state_dict())
    hook.before_save_checkpoint(runner, checkpoint)
    assert torch.equal(checkpoint["state_dict"]["weight"], raw)
    assert torch.equal(checkpoint["weight_ensemble"]["initial_state_dict"]["weight"], initial)

    resumed = WeightEnsembleHook()
    runner._resume = True
    resumed.after_load_checkpoint(runner, checkpoint)
    resumed.before_train(runner)
    assert torch.equal(resumed.initial["weight"], initial)


def test_training_from_a_checkpoint_starts_a_new_ensemble() -> None:
    hook = WeightEnsembleHook()
    runner, _, raw = trained_runner(hook)
    checkpoint: dict = {}
    hook.before_save_checkpoint(runner, checkpoint)
    fresh = WeightEnsembleHook()
    fresh.after_load_checkpoint(runner, checkpoint)  # load_from, not resume
    fresh.before_train(runner)
    assert torch.equal(fresh.initial["weight"], raw)


def test_wrong_alpha_is_named() -> None:
    with pytest.raises(ValueError, match=r"1\.5"):
        WeightEnsembleHook(alpha=1.5)


def test_a_checkpoint_saved_in_the_middle_of_a_validation_has_the_raw_weights() -> None:
    hook = WeightEnsembleHook(alpha=0.5)
    runner, _, raw = trained_runner(hook)
    hook.before_val_epoch(runner)
    checkpoint = dict(state_dict=dict(runner.model.state_dict()))
    hook.before_save_checkpoint(runner, checkpoint)
    assert torch.equal(checkpoint["state_dict"]["weight"], raw)
