"""Towers, losses and heads on every device and in mixed precision, against full precision on the CPU."""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from torch import Tensor

from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.losses import DecoupledAlignmentLoss, FeatureDistillationLoss, RegionContrastiveLoss

FAMILIES = ["vit", "eva02", "timm_vit", "siglip", "resnet", "convnext"]
CLASSES, DIM, IMAGE_OF = 7, 16, torch.arange(4).repeat_interleave(6)
LOSSES = {
    "decoupled_alignment": DecoupledAlignmentLoss(threshold=0.0),
    "region_contrastive": RegionContrastiveLoss(),
    "feature_distillation": FeatureDistillationLoss(),
}


def on(device: torch.device, inputs: dict) -> dict:
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in inputs.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_towers(stock_model, images, family, device, autocast, tolerance) -> None:
    model, x = stock_model(family), images(64, 64)
    exact = DenseImageEncoder(clip_model=copy.deepcopy(model).double()).dense(x.double())
    encoder = DenseImageEncoder(clip_model=model).to(device)
    with torch.no_grad(), autocast():
        dense = encoder.dense(x.to(device))
    assert dense.device.type == device.type
    cosines = (dense.double().cpu() * exact).sum(dim=1)
    assert cosines.min() > 1 - tolerance["atol"]


@pytest.mark.parametrize("kind", LOSSES)
def test_losses(kind, device, autocast) -> None:
    generator, loss = torch.Generator().manual_seed(0), LOSSES[kind]
    features = torch.randn(len(IMAGE_OF), DIM, generator=generator)
    targets = dict(
        text=F.normalize(torch.randn(CLASSES, DIM, generator=generator), dim=-1),
        thing_mask=torch.arange(CLASSES) % 2 == 0,
        teacher_logits=torch.rand(len(IMAGE_OF), CLASSES, generator=generator) * 2 - 1,
        teacher_features=torch.randn(len(IMAGE_OF), DIM, generator=generator),
        labels=torch.randint(CLASSES, (len(IMAGE_OF),), generator=generator),
        image_index=IMAGE_OF,
        num_images=4,
        step=3,
    )
    targets = {name: value for name, value in targets.items() if name in loss.inputs}
    assert set(targets) == set(loss.inputs)

    def run(device: torch.device, precision: Callable[[], AbstractContextManager]) -> tuple[Tensor, Tensor]:
        inputs = features.to(device, copy=True).requires_grad_()
        with precision():
            terms = loss(inputs, **on(device, targets))
        value = sum(term for name, term in terms.items() if name.startswith("loss"))
        value.backward()
        return value.detach().cpu(), inputs.grad.cpu()

    # Losses leave mixed precision: at temperature 0.01 the 8 bits of bfloat16 are steps of 0.4 in a logit.
    exact = run(torch.device("cpu"), nullcontext)
    for found, expected in zip(run(device, autocast), exact, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_cat_seg_head(device, autocast, tolerance) -> None:
    import densevlm_mm.segmentation  # noqa: F401
    from densevlm_mm.models.decode_heads import CATSegHead

    init_default_scope("mmseg")
    torch.manual_seed(0)
    aggregator = dict(
        channels=8, num_heads=2, window_size=2, decoder_guidance_channels=(2, 2), decoder_channels=(8, 8), max_classes=4
    )
    head = CATSegHead(embed_dim=6, in_channels=10, guidance_channels=(5, 3), aggregator=aggregator)
    dense, text = torch.randn(2, 6, 4, 4), F.normalize(torch.randn(3, 1, 6), dim=-1)
    taps = [torch.randn(2, 10, 4, 4) for _ in range(2)]
    with torch.no_grad():
        exact = head(dense, taps, text)
        with autocast():
            found = head.to(device)(dense.to(device), [tap.to(device) for tap in taps], text.to(device))
    assert found.device.type == device.type
    torch.testing.assert_close(found.float().cpu() / exact.std(), exact / exact.std(), **tolerance)


def test_cosine_bbox_head(fvit_config, device, autocast, tolerance) -> None:
    from mmdet.registry import MODELS

    torch.manual_seed(0)
    head = MODELS.build(fvit_config.roi_head.bbox_head).eval()
    regions = torch.randn(5, 16, 7, 7)
    captured: list[Tensor] = []
    head.fc_cls.register_forward_hook(lambda _, __, out: captured.append(out))
    with torch.no_grad(), autocast():
        logits, deltas = head.to(device)(regions.to(device))
    assert logits.device.type == deltas.device.type == device.type
    rows = captured[0].double().cpu()
    text = head.class_embeddings.embeddings.double().cpu()
    torch.testing.assert_close(
        logits.double().cpu(), 50 * F.normalize(rows, dim=-1) @ F.normalize(text, dim=-1).T, rtol=1e-3, atol=1e-3
    )
