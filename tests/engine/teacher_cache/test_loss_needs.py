import pytest

from densevlm_mm.engine.teacher_cache import CacheOptions, retrieval_temperature
from densevlm_mm.models.losses import DecoupledAlignmentLoss, FeatureDistillationLoss, PretrainingLoss, WeightedLosses


class OtherLoss(PretrainingLoss):
    inputs = ("teacher_logits",)


def options(min_threshold: float = 0.3) -> CacheOptions:
    return CacheOptions("cache", min_threshold=min_threshold)


def weighted(*parts: PretrainingLoss) -> WeightedLosses:
    names = [f"part{i}" for i in range(len(parts))]
    loss = WeightedLosses({name: dict(type="DecoupledAlignmentLoss") for name in names}, dict.fromkeys(names, 1.0))
    for name, part in zip(names, parts, strict=True):
        loss.parts[name] = part
    return loss


def test_the_temperature_is_that_of_the_losses_that_read_logits() -> None:
    loss = DecoupledAlignmentLoss(temperature=0.02, threshold=0.5)
    assert retrieval_temperature(loss, options()) == 0.02
    assert retrieval_temperature(weighted(FeatureDistillationLoss(), loss), options()) == 0.02
    assert retrieval_temperature(FeatureDistillationLoss(), options()) == 1


def test_a_loss_that_reads_more_than_is_kept_is_refused_with_the_option_that_helps() -> None:
    with pytest.raises(ValueError, match=r"threshold=0\.1 keeps .* min_threshold=0\.1 \("):
        retrieval_temperature(DecoupledAlignmentLoss(threshold=0.1), options())
    with pytest.raises(ValueError, match=r"OtherLoss may read .* min_threshold=0\."):
        retrieval_temperature(weighted(DecoupledAlignmentLoss(), OtherLoss()), options())
    two = weighted(DecoupledAlignmentLoss(), DecoupledAlignmentLoss(temperature=0.02))
    with pytest.raises(ValueError, match=r"temperatures \[0\.01, 0\.02\]"):
        retrieval_temperature(two, options())
    for loss in (DecoupledAlignmentLoss(threshold=0), OtherLoss(), two):
        assert retrieval_temperature(loss, options(0)) == 1
