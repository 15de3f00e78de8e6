import pytest
import torch
import torchvision
from mmcv.ops import sigmoid_focal_loss
from torch import Tensor

from densevlm_mm.compat import mmcv_ext

NUM_CLASSES = 4
TARGET = torch.tensor([0, 3, 4, 1, 4])  # 4 is background


def logits(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(len(TARGET), NUM_CLASSES, generator=torch.Generator().manual_seed(0)).to(dtype) * 3


def one_hot() -> Tensor:
    return torch.nn.functional.one_hot(TARGET, NUM_CLASSES + 1)[:, :NUM_CLASSES].float()


def test_loss_and_gradient_agree_with_torchvision() -> None:
    ours, theirs = logits().requires_grad_(), logits().requires_grad_()
    loss = sigmoid_focal_loss(ours, TARGET, 2.0, 0.25, None, "mean")
    expected = torchvision.ops.sigmoid_focal_loss(theirs, one_hot(), 0.25, 2.0, reduction="none").sum() / len(TARGET)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_weight_is_that_of_the_boxs_class_and_one_for_background() -> None:
    weight = torch.tensor([2.0, 3.0, 5.0, 7.0])
    loss = sigmoid_focal_loss(logits(), TARGET, 2.0, 0.25, weight, "none")
    plain = sigmoid_focal_loss(logits(), TARGET, 2.0, 0.25, None, "none")
    torch.testing.assert_close(loss, plain * torch.tensor([2.0, 7.0, 1.0, 3.0, 1.0])[:, None])


def test_gradient_is_that_of_finite_differences() -> None:
    inputs = logits(torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sigmoid_focal_loss(x, TARGET, 1.5, 0.4, None, "sum"), inputs)


@pytest.mark.parametrize("size", [-200.0, 200.0])
def test_extreme_logits_stay_finite(size: float) -> None:
    inputs = torch.full((len(TARGET), NUM_CLASSES), size, requires_grad=True)
    loss = sigmoid_focal_loss(inputs, TARGET, 2.0, 0.25, None, "mean")
    loss.backward()
    assert loss.isfinite()
    assert inputs.grad is not None
    assert inputs.grad.isfinite().all()


def test_bfloat16_is_computed_in_float32() -> None:
    inputs = logits(torch.bfloat16)
    out = torch.empty_like(inputs)
    mmcv_ext.sigmoid_focal_loss_forward(inputs, TARGET, inputs.new_empty(0), out, gamma=2.0, alpha=0.25)
    exact = torchvision.ops.sigmoid_focal_loss(inputs.float(), one_hot(), 0.25, 2.0, reduction="none")
    torch.testing.assert_close(out, exact.bfloat16())
