import pytest
import torch
from mmdet.registry import MODELS
from torch import nn


@pytest.mark.parametrize("num_convs", [1, 2])
def test_every_shared_convolution_has_a_norm(fvit_config, num_convs: int) -> None:
    config = fvit_config.rpn_head
    head = MODELS.build({**config, "num_convs": num_convs, "train_cfg": None, "test_cfg": None})
    kinds = [type(m) for m in head.rpn_conv.modules() if not list(m.children())]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * num_convs
    head.init_weights()
    assert all((m.weight == 1).all() for m in head.rpn_conv.modules() if isinstance(m, nn.BatchNorm2d))
    scores, deltas = head((torch.randn(2, 16, 8, 12), torch.randn(2, 16, 4, 6)))
    assert [s.shape for s in scores] == [(2, 3, 8, 12), (2, 3, 4, 6)]
    assert [d.shape for d in deltas] == [(2, 12, 8, 12), (2, 12, 4, 6)]
    sum(out.square().sum() for out in scores + deltas).backward()
    assert all(p.grad is not None for p in head.parameters())
