import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from torch import nn


@pytest.fixture
def head(_default_scope) -> nn.Module:
    import densevlm_mm.segmentation  # noqa: F401
    from densevlm_mm.models.decode_heads import CATSegHead

    init_default_scope("mmseg")
    torch.manual_seed(0)
    aggregator = dict(
        channels=8, num_heads=2, window_size=2, decoder_guidance_channels=(2, 2), decoder_channels=(8, 8), max_classes=4
    )
    return CATSegHead(embed_dim=6, in_channels=10, guidance_channels=(5, 3), aggregator=aggregator)


def test_first_map_guides_the_coarse_step_and_the_second_the_fine_one(head) -> None:
    dense, taps = torch.randn(2, 6, 4, 4), [torch.randn(2, 10, 4, 4) for _ in range(2)]
    text = F.normalize(torch.randn(3, 1, 6), dim=-1)
    coarse = F.conv_transpose2d(taps[0], head.upsample1.weight, head.upsample1.bias, stride=2)
    fine = F.conv_transpose2d(taps[1], head.upsample2.weight, head.upsample2.bias, stride=4)
    assert coarse.shape == (2, 5, 8, 8)
    assert fine.shape == (2, 3, 16, 16)
    logits = head(dense, taps, text)
    assert logits.shape == (2, 3, 16, 16)
    torch.testing.assert_close(logits, head.aggregator(dense, text, (coarse, fine)))


def test_loss_and_accuracy_at_the_size_of_the_labels(head) -> None:
    logits = torch.randn(1, 3, 4, 4)
    labels = torch.tensor([0, 1, 2, 255]).repeat(1, 6, 2)[:, :6, :8]
    enlarged = F.interpolate(logits, size=(6, 8), mode="bilinear", align_corners=False)
    losses = head.loss(logits, labels)
    target = torch.stack([(labels == c).float() for c in range(3)], dim=1)
    torch.testing.assert_close(losses["loss_seg"], F.binary_cross_entropy_with_logits(enlarged, target))
    labelled = labels != 255
    right = (enlarged.argmax(dim=1) == labels)[labelled].float().mean()
    torch.testing.assert_close(losses["acc_seg"], 100 * right)


@pytest.mark.parametrize("ignored", ["negative", "excluded"])
def test_the_loss_does_not_depend_on_which_label_is_ignored(head, ignored) -> None:
    loss = dict(type="PixelBinaryCrossEntropyLoss", ignored=ignored)
    aggregator = dict(channels=8, num_heads=2, window_size=2, decoder_guidance_channels=(2, 2), decoder_channels=(8, 8))
    options = dict(embed_dim=6, in_channels=10, guidance_channels=(5, 3), aggregator=aggregator, loss_decode=loss)
    logits, labels = torch.randn(1, 3, 4, 4), torch.tensor([0, 1, 2, 255]).repeat(1, 4, 1)
    expected = type(head)(**options).loss(logits, labels)
    own = labels.where(labels != 255, 3)
    assert type(head)(ignore_index=3, **options).loss(logits, own) == expected
    with pytest.raises(ValueError, match="neither one of the 3 classes"):
        type(head)(**options).loss(logits, own)


def test_accuracy_without_a_label_is_zero(head) -> None:
    losses = head.loss(torch.randn(1, 3, 4, 4), torch.full((1, 8, 8), 255))
    assert losses["acc_seg"] == 0


@pytest.mark.parametrize(("width", "embed_dim", "size"), [(768, 512, 4_668_641), (1024, 768, 5_782_753)])
def test_parameters_of_the_published_sizes(head, width, embed_dim, size) -> None:
    with torch.device("meta"):
        published = type(head)(embed_dim, width)
    assert sum(p.numel() for p in published.upsample1.parameters()) == width * 256 * 4 + 256
    assert sum(p.numel() for p in published.upsample2.parameters()) == width * 128 * 16 + 128
    assert sum(p.numel() for p in published.parameters()) == size
