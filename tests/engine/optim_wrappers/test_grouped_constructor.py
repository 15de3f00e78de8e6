import pytest
from mmengine.optim import build_optim_wrapper
from torch import nn


def build(model: nn.Module, **paramwise):
    cfg = dict(
        type="OptimWrapper",
        constructor="densevlm_mm.GroupedOptimWrapperConstructor",
        optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.1),
        paramwise_cfg=dict(
            norm_decay_mult=0.0,
            bias_decay_mult=0.0,
            flat_decay_mult=0.0,
            custom_keys={"head": dict(lr_mult=0.1)},
            **paramwise,
        ),
    )
    return build_optim_wrapper(model, cfg).optimizer.param_groups


def test_parameters_of_equal_settings_share_a_group_and_frozen_ones_have_none() -> None:
    model = nn.Sequential()
    model.body = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4))
    model.head = nn.Linear(4, 2)
    model.body[2].weight.requires_grad_(False)
    groups = {(g["lr"], g["weight_decay"]): {id(p) for p in g["params"]} for g in build(model)}
    assert groups == {
        (1e-3, 0.1): {id(model.body[0].weight)},
        (1e-3, 0.0): {id(p) for p in (model.body[0].bias, *model.body[1].parameters(), model.body[2].bias)},
        (1e-3 * 0.1, 0.1): {id(p) for p in model.head.parameters()},  # custom_keys win over bias_decay_mult
    }


def test_nothing_to_train_is_an_error() -> None:
    with pytest.raises(ValueError, match="trainable"):
        build(nn.Linear(2, 2).requires_grad_(False))


@pytest.mark.parametrize(
    ("paramwise", "message"),
    [
        (dict(norm_decay=0.0), "no 'norm_decay'; did you mean 'norm_decay_mult'"),
        (dict(layer_decay=1.5), "at most 1, not 1.5"),
        (dict(layer_decay=0.7), "none trains: set model.backbone.encoder.trainable='blocks'"),
    ],
)
def test_settings_that_would_do_nothing_are_errors(paramwise: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(nn.Linear(2, 2), **paramwise)
