"""Pooling by attention bias."""

import pytest
import torch

from densevlm_mm.models.decode_heads.san_recognition import MaskPooledRecognition


def test_weighted_mean_by_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    joint = torch.randn(2, 7, 3, 4, generator=generator)
    bias = torch.randn(2, 1, 5, 6, 8, generator=generator) * 3
    found = MaskPooledRecognition()([bias], (None, joint))
    for image in range(2):
        for query in range(5):
            cells = bias[image, 0, query].reshape(3, 2, 4, 2).amax(dim=(1, 3))
            weights = cells.exp() / cells.exp().sum()
            pooled = (joint[image] * weights).sum(dim=(1, 2))
            torch.testing.assert_close(found[image, query], pooled / pooled.norm())


def test_a_strong_bias_reads_one_position() -> None:
    joint = torch.randn(1, 7, 2, 2, generator=torch.Generator().manual_seed(0))
    bias = torch.zeros(1, 1, 1, 2, 2)
    bias[..., 1, 0] = 50
    found = MaskPooledRecognition()([bias], (None, joint))[0, 0]
    torch.testing.assert_close(found, joint[0, :, 1, 0] / joint[0, :, 1, 0].norm())


def test_gradient_reaches_the_bias() -> None:
    joint = torch.randn(1, 7, 2, 2, generator=torch.Generator().manual_seed(0))
    bias = torch.randn(1, 1, 3, 4, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    MaskPooledRecognition()([bias], (None, joint))[..., 0].sum().backward()
    assert (bias.grad.flatten(2).abs().sum(dim=-1) > 0).all()


def test_a_bias_for_several_heads_is_refused() -> None:
    with pytest.raises(ValueError, match="num_heads=1"):
        MaskPooledRecognition()([torch.zeros(1, 4, 3, 4, 4)], (None, torch.ones(1, 7, 2, 2)))
