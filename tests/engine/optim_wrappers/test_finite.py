import copy

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from densevlm_mm.engine.not_finite import NotFiniteError
from densevlm_mm.engine.optim_wrappers import AutocastOptimWrapper, FiniteOptimWrapper

CLIPS = [None, dict(max_norm=0.5), dict(type="value", clip_value=0.1)]
GOOD = torch.ones(3, 4)
BAD = torch.full((3, 4), float("nan"))


class Explosive(torch.autograd.Function):
    """The identity, with an infinite gradient."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return grad * float("inf")


class Line(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 1)

    def forward(self, inputs: Tensor, explode: bool = False, mode: str = "loss") -> dict:
        out = self.layer(inputs)
        out = Explosive.apply(out) if explode else out
        return dict(loss=out.square().mean())


def build(kind: type[OptimWrapper] = FiniteOptimWrapper, **kwargs) -> tuple[Line, OptimWrapper]:
    model = Line()
    kwargs = copy.deepcopy(kwargs)  # mmengine takes clip_grad apart
    return model, kind(torch.optim.AdamW(model.parameters(), lr=0.1), **kwargs)


@pytest.mark.parametrize("clip_grad", CLIPS)
@pytest.mark.parametrize("accumulative_counts", [1, 3])
def test_finite_steps_are_those_of_mmengine_to_the_bit(clip_grad, accumulative_counts) -> None:
    options = dict(clip_grad=clip_grad, accumulative_counts=accumulative_counts)
    (ours, wrapper), (theirs, reference) = build(**options), build(OptimWrapper, **options)
    for step in range(7):
        inputs = dict(inputs=GOOD * step)
        ours.train_step(inputs, wrapper)
        theirs.train_step(inputs, reference)
        assert torch.equal(ours.layer.weight, theirs.layer.weight)


@pytest.mark.parametrize("clip_grad", CLIPS)
@pytest.mark.parametrize(
    ("batch", "message"),
    [(dict(inputs=BAD), "the loss is nan"), (dict(inputs=GOOD, explode=True), "norm of the gradient (inf|nan)")],
    ids=["loss", "gradient"],
)
@pytest.mark.parametrize("kind", [FiniteOptimWrapper, AutocastOptimWrapper])
def test_no_step_is_taken_from_what_is_not_finite(kind, batch, message, clip_grad) -> None:
    model, wrapper = build(kind, clip_grad=clip_grad)
    model.train_step(dict(inputs=GOOD), wrapper)
    before = copy.deepcopy((model.state_dict(), wrapper.state_dict()))
    with pytest.raises(NotFiniteError, match=message):
        model.train_step(batch, wrapper)
    torch.testing.assert_close((model.state_dict(), wrapper.state_dict()), before, rtol=0, atol=0)


def test_a_bad_batch_of_an_accumulated_step_is_noticed_in_its_own_iteration() -> None:
    model, wrapper = build(accumulative_counts=4)
    model.train_step(dict(inputs=GOOD), wrapper)
    with pytest.raises(NotFiniteError):
        model.train_step(dict(inputs=BAD), wrapper)


def test_as_many_steps_may_be_left_out_as_allowed_and_a_resumed_run_counts_on() -> None:
    model, wrapper = build(max_not_finite=2)
    untouched = model.layer.weight.detach().clone()
    model.train_step(dict(inputs=BAD), wrapper)
    assert wrapper.left_out is not None
    assert torch.equal(model.layer.weight, untouched)
    model.train_step(dict(inputs=GOOD), wrapper)
    assert wrapper.left_out is None
    assert not torch.equal(model.layer.weight, untouched)

    resumed, other = build(max_not_finite=2)
    other.load_state_dict(wrapper.state_dict())
    resumed.train_step(dict(inputs=BAD), other)
    with pytest.raises(NotFiniteError):
        resumed.train_step(dict(inputs=BAD), other)


def test_an_accumulated_step_with_a_bad_batch_is_left_out_whole() -> None:
    model, wrapper = build(max_not_finite=1, accumulative_counts=2)
    untouched = model.layer.weight.detach().clone()
    for inputs in (BAD, GOOD):
        model.train_step(dict(inputs=inputs), wrapper)
    assert torch.equal(model.layer.weight, untouched)
    for inputs in (GOOD, GOOD):
        model.train_step(dict(inputs=inputs), wrapper)
    assert torch.isfinite(model.layer.weight).all()
    assert not torch.equal(model.layer.weight, untouched)


def test_float16_ends_when_every_step_overflows() -> None:
    model, wrapper = build(AutocastOptimWrapper, dtype="float16", max_overflows=3)
    for _ in range(3):
        model.train_step(dict(inputs=GOOD, explode=True), wrapper)
    assert wrapper.loss_scaler.get_scale() == 65536 / 8
    with pytest.raises(NotFiniteError, match=r"3 steps in a row that overflowed in float16.*8192.*bfloat16"):
        model.train_step(dict(inputs=GOOD, explode=True), wrapper)


def test_float16_overflows_count_only_in_a_row() -> None:
    model, wrapper = build(AutocastOptimWrapper, dtype="float16", max_overflows=1)
    for explode in (True, False, True, False):
        model.train_step(dict(inputs=GOOD, explode=explode), wrapper)
    assert wrapper.loss_scaler.get_scale() == 65536 / 4


def test_states_of_plain_wrappers_load_and_ours_load_into_them() -> None:
    for kind, other in ((OptimWrapper, FiniteOptimWrapper), (FiniteOptimWrapper, OptimWrapper)):
        model, wrapper = build(kind)
        model.train_step(dict(inputs=GOOD), wrapper)
        _, loaded = build(other)
        loaded.load_state_dict(wrapper.state_dict())
        assert loaded.optimizer.state_dict()["state"][0]["step"] == 1


def test_a_negative_number_of_steps_is_an_error() -> None:
    with pytest.raises(ValueError, match="max_not_finite is a number of steps, got -1"):
        build(max_not_finite=-1)
