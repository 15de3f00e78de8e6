"""Sigmoid focal loss with integer targets and class weights (Lin et al., "Focal Loss", arXiv 1708.02002, Eq. 5)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from densevlm_mm.compat.mmcv_ext.reduced_precision import at_least_float32


def _focal_loss(logits_RK: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float) -> Tensor:
    # R boxes, K classes; target K stands for background.
    positive_RK = target[:, None] == torch.arange(logits_RK.shape[1], device=target.device)
    signed_RK = torch.where(positive_RK, logits_RK, -logits_RK)
    balance_RK = positive_RK * alpha + ~positive_RK * (1 - alpha)
    loss_RK = -balance_RK * (-signed_RK).sigmoid() ** gamma * F.logsigmoid(signed_RK)
    if weight.numel() == 0:
        return loss_RK
    # One weight a box, that of its class. Compiled mmcv reads past the weights for background; we count it with 1.
    weight_with_background = torch.cat([weight.to(loss_RK.dtype), loss_RK.new_ones(1)])
    return loss_RK * weight_with_background[target][:, None]


def sigmoid_focal_loss_forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Write the loss of every box and class into `output`.

    Args:
        input: (R, K) logits.
        target: (R,) int64 class of each box, K for background.
        weight: (K,) class weights, or empty for none.
        output: Output, (R, K).
        gamma: Focusing exponent.
        alpha: Weight of the positive class; 1 - alpha is that of the negatives.
    """
    output.copy_(_focal_loss(at_least_float32(input), target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Write the derivative of each element of the loss by its logit into `grad_input`."""
    with torch.enable_grad():
        logits = at_least_float32(input.detach()).requires_grad_()
        loss = _focal_loss(logits, target, weight, gamma, alpha).sum()
        grad_input.copy_(torch.autograd.grad(loss, logits)[0])
