from types import SimpleNamespace

import pytest
import torch

from densevlm_mm.engine.hooks import StrictCheckpointHook


def refuse(hook: StrictCheckpointHook, state_dict: dict) -> str:
    with pytest.raises(ValueError, match="does not fit Linear") as error:
        hook.after_load_checkpoint(SimpleNamespace(model=torch.nn.Linear(3, 2)), dict(state_dict=state_dict))
    return str(error.value)


def test_fitting_checkpoint_passes() -> None:
    model = torch.nn.Linear(3, 2)
    StrictCheckpointHook().after_load_checkpoint(SimpleNamespace(model=model), dict(state_dict=model.state_dict()))


def test_what_does_not_fit_is_named() -> None:
    message = refuse(StrictCheckpointHook(), dict(weight=torch.zeros(2, 4), extra=torch.zeros(1)))
    assert "1 missing (bias)" in message
    assert "1 unexpected (extra)" in message
    assert "1 of another shape (weight: (2, 4) in the file, (2, 3) expected)" in message


def test_allowed_prefixes() -> None:
    hook = StrictCheckpointHook(allow_missing=("bias",), allow_unexpected=("old_head.",))
    model = torch.nn.Linear(3, 2)
    state = {"weight": model.weight, "old_head.weight": torch.zeros(1)}
    hook.after_load_checkpoint(SimpleNamespace(model=model), dict(state_dict=state))
    assert "old_body" in refuse(hook, {"weight": model.weight, "old_body": torch.zeros(1)})
