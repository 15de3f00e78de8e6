from types import SimpleNamespace

import pytest
import torch

from densevlm_mm.engine.hooks import StrictCheckpointHook


def runner(resume: bool = False, schedulers: list | None = None) -> SimpleNamespace:
    """The attributes of a runner that the hook reads."""
    return SimpleNamespace(
        model=torch.nn.Linear(3, 2), _resume=resume, _load_from="work/iter_3.pth", param_schedulers=schedulers
    )


def refuse(hook: StrictCheckpointHook, state_dict: dict) -> str:
    with pytest.raises(ValueError, match="does not fit Linear") as error:
        hook.after_load_checkpoint(runner(), dict(state_dict=state_dict))
    return str(error.value)


def test_fitting_checkpoint_passes() -> None:
    StrictCheckpointHook().after_load_checkpoint(runner(), dict(state_dict=torch.nn.Linear(3, 2).state_dict()))
    StrictCheckpointHook().after_load_checkpoint(runner(), torch.nn.Linear(3, 2).state_dict())


def test_what_does_not_fit_is_named() -> None:
    message = refuse(StrictCheckpointHook(), dict(weight=torch.zeros(2, 4), extra=torch.zeros(1)))
    assert "1 missing (bias)" in message
    assert "1 unexpected (extra)" in message
    assert "1 of another shape (weight: (2, 4) in the file, (2, 3) expected)" in message


def test_allowed_prefixes() -> None:
    hook = StrictCheckpointHook(allow_missing=("bias",), allow_unexpected=("old_head.",))
    model = torch.nn.Linear(3, 2)
    state = {"weight": model.weight, "old_head.weight": torch.zeros(1)}
    hook.after_load_checkpoint(runner(), dict(state_dict=state))
    assert "old_body" in refuse(hook, {"weight": model.weight, "old_body": torch.zeros(1)})


def test_what_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no state dict found; its entries are .'epoch'"):
        StrictCheckpointHook().after_load_checkpoint(runner(), dict(epoch=3))


@pytest.mark.parametrize("missing", ["meta", "iter", "optimizer", "param_schedulers", "message_hub"])
def test_a_run_does_not_go_on_from_a_file_that_lacks_its_state(missing: str) -> None:
    """mmengine would start with a new optimizer, or from the first learning rate, without a word."""
    meta = dict(epoch=1, iter=3)
    checkpoint = dict(
        state_dict=torch.nn.Linear(3, 2).state_dict(), meta=meta, optimizer={}, param_schedulers=[], message_hub={}
    )
    hook = StrictCheckpointHook()
    hook.after_load_checkpoint(runner(resume=True, schedulers=[{}]), checkpoint)
    (meta if missing == "iter" else checkpoint).pop(missing)
    hook.after_load_checkpoint(runner(schedulers=[{}]), checkpoint)  # load_from takes the weights alone
    with pytest.raises(
        ValueError, match=rf"cannot be resumed from work/iter_3\.pth, which lacks .*{missing}.*load_from"
    ):
        hook.after_load_checkpoint(runner(resume=True, schedulers=[{}]), checkpoint)


def test_a_run_without_schedule_needs_none() -> None:
    checkpoint = dict(
        state_dict=torch.nn.Linear(3, 2).state_dict(), meta=dict(epoch=1, iter=3), optimizer={}, message_hub={}
    )
    StrictCheckpointHook().after_load_checkpoint(runner(resume=True), checkpoint)
