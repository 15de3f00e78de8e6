import copy

import pytest
import torch
from mmengine.runner.checkpoint import get_state_dict
from mmengine.runner.checkpoint import load_state_dict as mmengine_load_state_dict
from torch import nn

from densevlm_mm.models.encoders.towers.split_projection import (
    query_key_parameters,
    split_projection,
    value_projection,
)


def layers():
    torch.manual_seed(0)
    return [nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 24), nn.Linear(8, 24, bias=False)]


def run(layer, x):
    return layer(x, x, x, need_weights=False)[0] if isinstance(layer, nn.MultiheadAttention) else layer(x)


@pytest.mark.parametrize("index", range(3))
def test_outputs_and_stored_layout_do_not_change(index):
    layer, x = layers()[index], torch.randn(2, 5, 8)
    before, stored = run(layer, x), copy.deepcopy(layer.state_dict())
    split_projection(layer)
    split_projection(layer)  # a second call changes nothing
    assert torch.equal(run(layer, x), before)
    with torch.no_grad():  # attention has another implementation without gradients
        torch.testing.assert_close(run(layer.eval(), x), before)
    for state_dict in (layer.state_dict(), get_state_dict(layer)):
        assert state_dict.keys() == stored.keys()
        assert all(torch.equal(state_dict[key], stored[key]) for key in stored)


@pytest.mark.parametrize("index", range(3))
def test_fused_checkpoints_load_strictly(index):
    layer, other = layers()[index], nn.ModuleDict({"layer": layers()[index]})
    for parameter in other.parameters():
        nn.init.normal_(parameter)
    split_projection(layer)
    wrapper = nn.ModuleDict({"layer": layer})
    wrapper.load_state_dict(other.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(wrapper.state_dict().values(), wrapper.state_dict().values(), strict=True)
    )
    assert {k: v.sum().item() for k, v in wrapper.state_dict().items()} == pytest.approx(
        {k: v.sum().item() for k, v in other.state_dict().items()}
    )
    nn.init.zeros_(next(iter(layer.parameters())))
    mmengine_load_state_dict(wrapper, other.state_dict(), strict=True)
    assert all(torch.equal(wrapper.state_dict()[key], value) for key, value in other.state_dict().items())
    with pytest.raises(RuntimeError, match="Missing key"):
        wrapper.load_state_dict({})
    with pytest.raises(RuntimeError, match="size mismatch"):
        wrapper.load_state_dict({key: torch.zeros(6, *value.shape[1:]) for key, value in other.state_dict().items()})


@pytest.mark.parametrize("index", range(3))
def test_copies_are_independent(index):
    layer = layers()[index]
    split_projection(layer)
    twin = copy.deepcopy(layer)
    twin.load_state_dict({key: torch.zeros_like(value) for key, value in twin.state_dict().items()})
    assert all(value.abs().sum() == 0 for value in twin.state_dict().values())
    assert value_projection(layer)[0].abs().sum() > 0


def test_frozen_rows_survive_weight_decay():
    layer, x = layers()[0], torch.randn(2, 5, 8)
    stored = layer.in_proj_weight.detach().clone()
    split_projection(layer)
    for parameter in query_key_parameters(layer):
        parameter.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in layer.parameters() if p.requires_grad], lr=0.1, weight_decay=0.5)
    run(layer, x).sum().backward()
    optimizer.step()
    assert torch.equal(layer.in_proj_weight[:16], stored[:16])
    assert not torch.equal(layer.in_proj_weight[16:], stored[16:])


@pytest.mark.parametrize("index", range(3))
def test_value_rows_are_the_last_third(index):
    layer = layers()[index]
    weight = layer.in_proj_weight if index == 0 else layer.weight
    before = value_projection(layer)
    assert torch.equal(before[0], weight[16:])
    assert (before[1] is None) == (index == 2)
    split_projection(layer)
    assert torch.equal(value_projection(layer)[0], before[0])


def test_other_groups_of_rows():
    layer = nn.Linear(8, 16)
    weight = layer.weight.detach().clone()
    split_projection(layer, parts=("k", "v"))
    assert torch.equal(value_projection(layer, parts=("k", "v"))[0], weight[8:])
    assert {tuple(p.shape) for p in query_key_parameters(layer)} == {(8, 8), (8,)}
    assert torch.equal(layer.state_dict()["weight"], weight)
