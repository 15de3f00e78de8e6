import pytest
import torch

from densevlm_mm.models.layers.cost_aggregation import ClassAggregation


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("classes", [1, 5, 7])
def test_linear_attention_with_counted_pads_is_that_with_real_ones(reference, pool, classes):
    module = reference.randomise(ClassAggregation(8, num_heads=2, num_tokens=7))
    x, text = torch.randn(2, classes, 4, 6, 8), torch.randn(1, classes, 8)
    result = module(x, text, pool)
    for image in range(2):
        expected = reference.classwise(module, x[image], text[0], pool, num_tokens=7)
        torch.testing.assert_close(result[image], expected, atol=3e-5, rtol=1e-4)


def test_each_image_may_have_its_own_classes(reference):
    module = reference.randomise(ClassAggregation(8, num_heads=2, num_tokens=5))
    x, text = torch.randn(2, 5, 2, 2, 8), torch.randn(2, 5, 8)
    together = module(x, text, pool=1)
    for image in range(2):
        torch.testing.assert_close(together[image], module(x[image, None], text[image, None], pool=1)[0])


def test_pad_tokens_get_a_gradient_whether_there_are_pads_or_not():
    """So DDP needs no find_unused_parameters."""
    for classes in (3, 4):
        module = ClassAggregation(8, num_heads=2, num_tokens=4)
        module(torch.randn(1, classes, 2, 2, 8), torch.randn(1, classes, 8), pool=1).square().sum().backward()
        assert all(parameter.grad is not None for parameter in module.parameters())
        assert (module.pad_token.grad.abs().sum() > 0) == (classes == 3)


def test_order_of_classes_does_not_matter(reference):
    module = reference.randomise(ClassAggregation(8, num_heads=2, num_tokens=6))
    x, text, order = torch.randn(1, 4, 2, 2, 8), torch.randn(1, 4, 8), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(module(x[:, order], text[:, order], pool=2), module(x, text, pool=2)[:, order])


def test_half_precision_autocast_sums_in_full(reference):
    module = reference.randomise(ClassAggregation(8, num_heads=2, num_tokens=64))
    x, text = torch.randn(1, 4, 2, 2, 8), torch.randn(1, 4, 8)
    with torch.autocast("cpu", torch.bfloat16):
        result = module(x, text, pool=2)
    torch.testing.assert_close(result, module(x, text, pool=2), atol=0.1, rtol=0.05)


def test_parameters_of_the_published_size():
    assert sum(p.numel() for p in ClassAggregation(128, 4).parameters()) == 214_784
