import pytest
import torch
import torch.nn.functional as F

from densevlm_mm.models.losses.pixel_binary_cross_entropy import PixelBinaryCrossEntropyLoss


def batch(ignored: int = 255):
    generator = torch.Generator().manual_seed(0)
    logits = 10 * torch.randn(2, 3, 4, 5, generator=generator)
    labels = torch.randint(0, 3, (2, 4, 5), generator=generator)
    labels[0, :2] = ignored
    return logits.requires_grad_(), labels


def one_hot(labels, num_classes=3):
    target = torch.zeros(len(labels), num_classes, *labels.shape[1:])
    for c in range(num_classes):
        target[:, c] = (labels == c).float()
    return target


@pytest.mark.parametrize("ignored", [255, 65535])
def test_ignored_pixels_are_negatives_of_every_class(ignored):
    logits, labels = batch(ignored)
    expected = F.binary_cross_entropy_with_logits(logits, one_hot(labels))
    torch.testing.assert_close(PixelBinaryCrossEntropyLoss()(logits, labels), expected)


def test_ignored_pixels_can_be_left_out():
    logits, labels = batch()
    counted = labels < 3
    per_pixel = F.binary_cross_entropy_with_logits(logits, one_hot(labels), reduction="none").mean(dim=1)
    expected = per_pixel[counted].mean()
    torch.testing.assert_close(
        PixelBinaryCrossEntropyLoss(ignored="excluded", loss_weight=2)(logits, labels), 2 * expected
    )


@pytest.mark.parametrize("ignored", ["negative", "excluded"])
def test_an_image_without_a_label_gives_a_finite_loss(ignored):
    logits, labels = batch()
    loss = PixelBinaryCrossEntropyLoss(ignored=ignored)(logits, torch.full_like(labels, 255))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    if ignored == "negative":
        torch.testing.assert_close(loss, F.softplus(logits).mean())
    else:
        assert loss == 0


def test_gradient_is_that_of_the_one_hot_form():
    logits, labels = batch()
    (gradient,) = torch.autograd.grad(PixelBinaryCrossEntropyLoss()(logits, labels), logits)
    (expected,) = torch.autograd.grad(F.binary_cross_entropy_with_logits(logits, one_hot(labels)), logits)
    torch.testing.assert_close(gradient, expected)


def test_255_is_a_class_of_a_vocabulary_that_has_so_many():
    logits = torch.zeros(1, 300, 1, 2)
    logits[:, 255] = 3.0
    labels = torch.tensor([[[255, 65535]]])
    target = one_hot(labels, 300)
    assert target.sum() == 1
    expected = F.binary_cross_entropy_with_logits(logits, target)
    torch.testing.assert_close(PixelBinaryCrossEntropyLoss()(logits, labels), expected)


@pytest.mark.parametrize("label", [3, 254, -1])
def test_a_label_of_another_vocabulary_is_an_error(label):
    logits, labels = batch()
    labels[1, 0, 0] = label
    with pytest.raises(ValueError, match=rf"label\(s\) \[{label}\] are neither one of the 3 classes"):
        PixelBinaryCrossEntropyLoss()(logits, labels)


def test_full_precision_under_autocast():
    logits, labels = batch()
    expected = PixelBinaryCrossEntropyLoss()(logits.detach().bfloat16().float(), labels)
    with torch.autocast("cpu", torch.bfloat16):
        loss = PixelBinaryCrossEntropyLoss()(logits.bfloat16(), labels)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)


def test_unknown_treatment_is_refused():
    with pytest.raises(ValueError, match="ignored must be one of"):
        PixelBinaryCrossEntropyLoss(ignored="zero")
