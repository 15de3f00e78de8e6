import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import Runner
from torch import Tensor, nn

from densevlm_mm.engine.optim_wrappers import AutocastOptimWrapper


class Regressor(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
        self.seen_dtypes: set[torch.dtype] = set()

    def forward(self, inputs: Any, mode: str = "loss") -> dict[str, Tensor]:
        inputs = torch.stack(inputs) if isinstance(inputs, list) else inputs
        out = self.layers(inputs)
        self.seen_dtypes.add(out.dtype)
        return {"loss": (out.float().squeeze(-1) - inputs.sum(-1)).square().mean()}


def build(seed: int = 0, lr: float = 0.05, **kwargs: Any) -> tuple[Regressor, AutocastOptimWrapper]:
    torch.manual_seed(seed)
    model = Regressor()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    return model, AutocastOptimWrapper(optimizer, **kwargs)


def batches(num: int) -> list[Tensor]:
    return list(torch.randn(num, 6, 4, generator=torch.Generator().manual_seed(1)))


def train(model: Regressor, wrapper: AutocastOptimWrapper, data: list[Tensor]) -> list[float]:
    return [model.train_step({"inputs": inputs}, wrapper)["loss"].item() for inputs in data]


def test_bfloat16_trains_on_the_cpu_with_float32_parameters() -> None:
    model, wrapper = build()
    losses = train(model, wrapper, batches(1) * 60)
    assert losses[-1] < 0.2 * losses[0]
    assert model.seen_dtypes == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_one_step_is_that_of_plain_autocast() -> None:
    model, wrapper = build()
    reference = copy.deepcopy(model)
    (inputs,) = batches(1)
    train(model, wrapper, [inputs])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = reference(inputs)["loss"]
    loss.backward()
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs - 0.05 * theirs.grad)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_clipping_bounds_the_unscaled_gradient(dtype: str) -> None:
    model, wrapper = build(dtype=dtype, clip_grad=dict(max_norm=0.01), lr=1.0, init_scale=1024.0)
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    train(model, wrapper, batches(1))
    step = torch.cat([p.detach().flatten() for p in model.parameters()]) - before
    assert float(step.norm()) == pytest.approx(0.01, rel=1e-3)
    logged = MessageHub.get_current_instance().get_scalar("train/grad_norm").current()
    assert logged > 0.01


def test_accumulating_equals_one_large_batch() -> None:
    data = batches(4)
    small, accumulating = build(accumulative_counts=2)
    large, at_once = build()
    train(small, accumulating, data)
    train(large, at_once, [torch.cat(data[:2]), torch.cat(data[2:])])
    for ours, theirs in zip(small.parameters(), large.parameters(), strict=True):
        # bfloat16 rounds the sums over the batch at other places: 8 bits of mantissa
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=2e-3)


def test_parameters_wait_for_the_accumulation() -> None:
    model, wrapper = build(accumulative_counts=2)
    weight = next(model.parameters())
    before = weight.detach().clone()
    train(model, wrapper, batches(1))
    assert torch.equal(before, weight)
    train(model, wrapper, batches(1))
    assert not torch.equal(before, weight)


def grow_every_second_step(wrapper: AutocastOptimWrapper) -> AutocastOptimWrapper:
    wrapper.loss_scaler.set_growth_interval(2)
    return wrapper


def test_float16_resumes_exactly_with_its_scale() -> None:
    data = batches(7)
    model, wrapper = build(dtype="float16", init_scale=256.0)
    grow_every_second_step(wrapper)
    train(model, wrapper, data[:3])
    saved, weights = copy.deepcopy(wrapper.state_dict()), copy.deepcopy(model.state_dict())
    assert saved["loss_scaler"]["scale"] == 512.0
    assert saved["loss_scaler"]["_growth_tracker"] == 1
    train(model, wrapper, data[3:])

    resumed_model, resumed = build(seed=5, dtype="float16", init_scale=4.0)
    resumed_model.load_state_dict(weights)
    resumed.load_state_dict(saved)
    assert "loss_scaler" in saved  # loading leaves the caller's state whole
    train(resumed_model, resumed, data[3:])
    assert resumed.loss_scaler.state_dict() == wrapper.loss_scaler.state_dict()
    torch.testing.assert_close(resumed_model.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_float16_step_with_overflow_is_left_out_and_lowers_the_scale() -> None:
    model, wrapper = build(dtype="float16", init_scale=1024.0)
    before = copy.deepcopy(model.state_dict())
    train(model, wrapper, [torch.full((2, 4), float("inf"))])
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert wrapper.loss_scaler.get_scale() == 512.0


def test_state_of_a_bfloat16_run_starts_float16_with_a_fresh_scale() -> None:
    model, wrapper = build()
    train(model, wrapper, batches(1))
    _, other = build(dtype="float16", init_scale=64.0)
    other.load_state_dict(wrapper.state_dict())
    assert other.loss_scaler.get_scale() == 64.0


def test_unknown_dtype_is_named() -> None:
    with pytest.raises(ValueError, match=r"'bfloat16', 'float16', got 'float8'"):
        build(dtype="float8")


def runner(work_dir: Path, name: str, **kwargs: Any) -> Runner:
    torch.manual_seed(0)
    dataset = [{"inputs": row} for row in torch.cat(batches(1))[:4]]
    return Runner(
        model=Regressor(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=dataset, batch_size=2, sampler=dict(type="DefaultSampler", shuffle=False), num_workers=0
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(
            type="densevlm_mm.AutocastOptimWrapper",
            dtype="float16",
            optimizer=dict(type="AdamW", lr=0.01, weight_decay=0.1),
            paramwise_cfg=dict(bias_decay_mult=0.0),
        ),
        experiment_name=name,
        log_level="ERROR",
        **kwargs,
    )


def test_runner_resumes_exactly(tmp_path: Path) -> None:
    assert OPTIM_WRAPPERS.get("densevlm_mm.AutocastOptimWrapper") is AutocastOptimWrapper
    whole = runner(tmp_path, "autocast_whole")
    whole.train()
    resumed = runner(tmp_path, "autocast_resumed", resume=True, load_from=str(tmp_path / "epoch_1.pth"))
    resumed.train()
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)
    assert resumed.optim_wrapper.loss_scaler.state_dict() == whole.optim_wrapper.loss_scaler.state_dict()
