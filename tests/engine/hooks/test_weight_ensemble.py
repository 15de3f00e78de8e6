import pytest
import torch

from densevlm_mm.engine.hooks import WeightEnsembleHook
from densevlm_mm.models.clip.ensemble_alpha import EnsembleAlpha
from densevlm_mm.models.encoders import DenseImageEncoder


class StubRunner:
    """The three attributes of a runner that the hook reads."""

    def __init__(self, model: torch.nn.Module, resume: bool = False) -> None:
        self.model = model
        self._resume = resume
        self._load_from = "work/iter_3.pth"


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


@pytest.mark.parametrize("resume", [True, False])
def test_the_checkpoints_alpha_counts_and_stays(resume: bool, capture_log) -> None:
    """Test, resume and export of one file agree, whatever a config says meanwhile."""
    runner, initial, raw = trained_runner(WeightEnsembleHook(0.75))
    checkpoint: dict = dict(weight_ensemble=dict(alpha=0.75, initial_state_dict=dict(weight=initial)))
    runner.model.bias = None
    hook = WeightEnsembleHook(alpha=0.5)
    hook.after_load_checkpoint(runner, checkpoint)
    runner._resume = resume
    if resume:
        hook.before_train(runner)
    assert hook.applied_alpha == EnsembleAlpha.parse(0.75)
    hook.before_test_epoch(runner)
    torch.testing.assert_close(runner.model.weight.detach(), 0.75 * raw + 0.25 * initial)
    hook.after_test_epoch(runner)
    saved: dict = {}
    hook.before_save_checkpoint(runner, saved)
    assert saved["weight_ensemble"]["alpha"] == 0.75
    assert capture_log() == [
        "weight ensemble: evaluating 0.75 * trained + 0.25 * initial weights of work/iter_3.pth (its own alpha; the "
        "config's, 0.5, is for trainings that start anew)"
    ]


def test_another_alpha_is_an_explicit_choice(capture_log) -> None:
    runner, initial, raw = trained_runner(WeightEnsembleHook(0.75))
    runner.model.bias = None
    hook = WeightEnsembleHook(alpha=0.75, test_alpha=0.5)
    hook.after_load_checkpoint(runner, dict(weight_ensemble=dict(alpha=0.75, initial_state_dict=dict(weight=initial))))
    for _ in range(2):
        hook.before_test_epoch(runner)
        torch.testing.assert_close(runner.model.weight.detach(), 0.5 * raw + 0.5 * initial)
        hook.after_test_epoch(runner)
    saved: dict = {}
    hook.before_save_checkpoint(runner, saved)
    assert saved["weight_ensemble"]["alpha"] == 0.75
    assert capture_log() == [  # once
        "weight ensemble: evaluating 0.5 * trained + 0.5 * initial weights of work/iter_3.pth (asked for by "
        "test_alpha; its own alpha is 0.75)"
    ]


def test_a_training_that_starts_anew_has_the_configs_alpha() -> None:
    runner, initial, _ = trained_runner(WeightEnsembleHook(0.75))
    hook = WeightEnsembleHook(alpha=0.5)
    hook.after_load_checkpoint(runner, dict(weight_ensemble=dict(alpha=0.75, initial_state_dict=dict(weight=initial))))
    hook.before_train(runner)
    assert hook.applied_alpha == hook.trained_alpha == EnsembleAlpha.parse(0.5)


def test_weights_without_a_start_are_evaluated_as_they_are(capture_log) -> None:
    runner = StubRunner(torch.nn.Linear(3, 2))
    hook, before = WeightEnsembleHook(), runner.model.weight.detach().clone()
    hook.after_load_checkpoint(runner, dict(state_dict={}))
    assert hook.applied_alpha is None
    hook.before_test_epoch(runner)
    hook.after_test_epoch(runner)
    assert torch.equal(runner.model.weight, before)
    assert "weight ensemble: none" in capture_log()[0]


@pytest.mark.parametrize("ensemble", [dict(alpha=0.9), dict(initial_state_dict={}), dict(alpha=None)])
def test_half_an_ensemble_is_refused(ensemble: dict) -> None:
    with pytest.raises(ValueError, match="lacks 'alpha' or 'initial_state_dict'"):
        WeightEnsembleHook().after_load_checkpoint(StubRunner(torch.nn.Linear(3, 2)), dict(weight_ensemble=ensemble))


@pytest.mark.parametrize("name", ["alpha", "test_alpha"])
def test_wrong_alpha_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be in \[0, 1\], got 1\.5"):
        WeightEnsembleHook(**{name: 1.5})


def test_a_checkpoint_saved_in_the_middle_of_a_validation_has_the_raw_weights() -> None:
    hook = WeightEnsembleHook(alpha=0.5)
    runner, _, raw = trained_runner(hook)
    hook.before_val_epoch(runner)
    checkpoint = dict(state_dict=dict(runner.model.state_dict()))
    hook.before_save_checkpoint(runner, checkpoint)
    assert torch.equal(checkpoint["state_dict"]["weight"], raw)


def test_by_depth_each_block_has_its_own_share(stock_model, capture_log) -> None:
    """The first of two blocks a quarter, the last and what stands outside of blocks three quarters."""
    encoder = DenseImageEncoder(clip_model=stock_model("eva02"), trainable="all")
    hook = WeightEnsembleHook(alpha=dict(first=0.25, last=0.75))
    runner = StubRunner(torch.nn.ModuleDict(dict(encoder=encoder)))
    hook.before_train(runner)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(1.0)
    saved: dict = {}
    hook.before_save_checkpoint(runner, saved)
    assert saved["weight_ensemble"]["alpha"] == dict(first=0.25, last=0.75)
    initial = {name: value.clone() for name, value in hook.initial.items()}
    hook.before_test_epoch(runner)
    shares = {name: float((value - initial[name]).mean()) for name, value in runner.model.state_dict().items()}
    for name, share in shares.items():
        assert share == pytest.approx(0.25 if ".blocks.0." in name else 0.75, abs=1e-6), name
    assert capture_log() == [
        "weight ensemble: evaluating a * trained + (1 - a) * initial weights (a from 0.25 in the first block to 0.75 "
        "in the last) of work/iter_3.pth"
    ]
    again = WeightEnsembleHook()
    again.after_load_checkpoint(runner, saved)
    assert again.applied_alpha == hook.applied_alpha


def test_equal_ends_are_one_alpha_to_the_bit(stock_model) -> None:
    found = []
    for alpha in (0.9, dict(first=0.9, last=0.9), "0.9:0.9"):
        hook, runner = WeightEnsembleHook(), StubRunner(stock_model("vit"))
        hook.before_train(runner)
        runner.model.load_state_dict(stock_model("vit", seed=1).state_dict())
        hook.test_alpha = EnsembleAlpha.parse(alpha)
        hook.before_test_epoch(runner)
        found.append(runner.model.state_dict())
    for other in found[1:]:
        assert all(torch.equal(value, found[0][name]) for name, value in other.items())
