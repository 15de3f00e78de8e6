import torch
import torch.nn.functional as F

from densevlm_mm.models.layers.cost_aggregation import GuidedConv2d, GuidedLinear


def test_linear_is_that_of_the_concatenation():
    torch.manual_seed(0)
    layer, x, guidance = GuidedLinear(5, 3, 4), torch.randn(2, 6, 7, 5), torch.randn(2, 1, 7, 3)
    expected = torch.cat([x, guidance.expand(2, 6, 7, 3)], dim=-1) @ layer.weight.T + layer.bias
    torch.testing.assert_close(layer(x, guidance), expected)


def test_convolution_is_that_of_the_concatenation_with_the_guidance_of_the_same_image():
    torch.manual_seed(0)
    layer, x, guidance = GuidedConv2d(5, 3, 4), torch.randn(6, 5, 4, 6), torch.randn(2, 3, 4, 6)
    repeated = torch.stack([guidance[0]] * 3 + [guidance[1]] * 3)
    expected = F.conv2d(torch.cat([x, repeated], dim=1), layer.weight, padding=1)
    torch.testing.assert_close(layer(x, guidance), expected)


def test_parameters_are_those_of_plain_layers():
    torch.manual_seed(1)
    guided = [GuidedLinear(5, 3, 4), GuidedConv2d(5, 3, 4)]
    torch.manual_seed(1)
    plain = [torch.nn.Linear(8, 4), torch.nn.Conv2d(8, 4, 3, padding=1, bias=False)]
    for one, other in zip(guided, plain, strict=True):
        assert one.state_dict().keys() == other.state_dict().keys()
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())
