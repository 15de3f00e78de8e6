"""What the loss says of logits that were stored, against what it says of those that were not."""

import numpy as np
import pytest
import torch

from densevlm_mm.engine.teacher_cache.logit_records import LogitRecords, rows_of_normalizers
from densevlm_mm.models.layers import retrieve
from densevlm_mm.models.losses import DecoupledAlignmentLoss

C, K, TAU = 67, 50, 0.01


def cosines(spread: float = 0.02, seed: int = 0, num_cells: int = C, num_classes: int = K) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.2 + spread * torch.randn(num_cells, num_classes, generator=generator)


def records(**options) -> LogitRecords:
    settings = dict(num_cells=C, num_classes=K, dtype="float32", min_threshold=0.3, temperature=TAU)
    return LogitRecords(**{**settings, **options})


def test_kept_regions_and_all_confidences_are_read_to_the_bit() -> None:
    logits, codec = cosines(), records()
    ids = torch.randperm(C, generator=torch.Generator().manual_seed(1))[:20]
    record = codec.encode(logits)
    read = codec.decode(record, ids)
    expected = retrieve(logits[ids], TAU, 0.3)
    found = retrieve(read, TAU, 0.3)
    assert 3 < int(expected.kept.sum()) < 17
    assert torch.equal(found.kept, expected.kept)
    assert torch.equal(found.confidences, expected.confidences)
    assert torch.equal(read[expected.kept], logits[ids][expected.kept])
    num_kept = int(retrieve(logits, TAU, 0.3).kept.sum())
    assert len(record) == 4 * C + 4 * K * num_kept  # nothing else is stored


@pytest.mark.parametrize("num_classes", [2, 3, 32, 316, 1203])
def test_every_confidence_of_a_dropped_region_is_reproduced(num_classes) -> None:
    # From a nearly certain choice between two to a uniform one between all.
    spreads = torch.logspace(-7, -1, 2000)[:, None]
    logits = 0.2 + spreads * torch.randn(2000, num_classes, generator=torch.Generator().manual_seed(0))
    logits[0] = 0.1  # all alike
    confidences = retrieve(logits, TAU).confidences
    codec = records(num_cells=2000, num_classes=num_classes, min_threshold=0.5)
    record = codec.encode(logits)
    read = codec.decode(record, torch.arange(2000))
    assert torch.equal(retrieve(read, TAU).confidences, confidences)
    assert len(record) == 4 * 2000 + 4 * num_classes * int((confidences > 0.5 * (1 - 1e-4)).sum())
    assert read.isfinite().all()


@pytest.mark.parametrize("reduction", ["image", "group", "region"])
@pytest.mark.parametrize("threshold", [0.3, 0.6])
@pytest.mark.parametrize(("thing_contrast", "stuff_contrast"), [("things", "all"), ("all", "stuff")])
def test_loss_figures_and_gradient_are_those_of_whole_logits(
    reduction, threshold, thing_contrast, stuff_contrast
) -> None:
    logits, codec = cosines(), records()
    read = codec.decode(codec.encode(logits), torch.arange(C))
    assert not torch.equal(read, logits)
    loss = DecoupledAlignmentLoss(thing_contrast, stuff_contrast, TAU, threshold, reduction)
    generator = torch.Generator().manual_seed(3)
    features, text = torch.randn(C, 16, generator=generator), torch.randn(K, 16, generator=generator)
    things, images = torch.arange(K) < 30, torch.arange(C) % 4
    outputs, gradients = [], []
    for target in (logits, read):
        student = features.clone().requires_grad_()
        output = loss(student, text, things, target, images, num_images=4)
        output["loss"].backward()
        outputs.append({name: value.detach() for name, value in output.items()})
        gradients.append(student.grad)
    assert outputs[0]["loss"] > 0
    assert all(torch.equal(value, outputs[1][name]) for name, value in outputs[0].items())
    assert torch.equal(*gradients)


def test_float16_moves_the_loss_by_less_than_a_hundredth() -> None:
    logits, codec = cosines(), records(dtype="float16")
    record = codec.encode(logits)
    assert len(record) < len(records().encode(logits)) * 0.55
    read = codec.decode(record, torch.arange(C))
    loss = DecoupledAlignmentLoss()
    generator = torch.Generator().manual_seed(3)
    features, text = torch.randn(C, 16, generator=generator), torch.randn(K, 16, generator=generator)
    whole, half = (
        loss(features, text, torch.arange(K) < 30, target, torch.zeros(C, dtype=torch.int64), num_images=1)
        for target in (logits, read)
    )
    assert whole["loss"] != half["loss"]
    assert float(half["loss"]) == pytest.approx(float(whole["loss"]), rel=0.01)
    assert float(half["confidence"]) == pytest.approx(float(whole["confidence"]), abs=1e-3)


def test_a_threshold_of_zero_keeps_all_rows_and_rows_that_are_not_numbers_are_kept_as_they_are() -> None:
    logits, codec = cosines(), records(min_threshold=0.0)
    assert torch.equal(codec.decode(codec.encode(logits), torch.arange(C)), logits)
    logits[5] = torch.nan
    codec = records()
    assert codec.decode(codec.encode(logits), torch.tensor([5])).isnan().all()


def test_a_row_of_a_normalizer_is_its_simplest_sum() -> None:
    row = rows_of_normalizers(np.array([2.5, 4.0], dtype=np.float32), 4, TAU)
    np.testing.assert_allclose(np.exp(row[0] / TAU), [1, 1, 0.5, 0], rtol=1e-6)
    assert row[1].tolist() == [0, 0, 0, 0]


def test_difference_is_the_largest_of_a_kept_cosine_and_of_a_confidence() -> None:
    logits, codec = cosines(), records()
    assert codec.difference(codec.encode(logits), codec.encode(logits)) == 0
    kept = int(retrieve(logits, TAU, 0.3).kept.nonzero()[0])
    other = logits.clone()
    other[kept, 7] += 0.25 - 1e-3
    found = codec.difference(codec.encode(logits), codec.encode(other))
    change = (retrieve(other, TAU).confidences - retrieve(logits, TAU).confidences).abs().max()
    assert found == pytest.approx(max(0.25 - 1e-3, float(change)), abs=1e-6)
