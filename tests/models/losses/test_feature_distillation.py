import pytest
import torch

from densevlm_mm.models.losses import FeatureDistillationLoss


def test_matches_reference_and_ignores_norms() -> None:
    student, teacher = torch.randn(5, 8), torch.randn(5, 8)
    expected = 1 - sum(
        torch.dot(s, t).item() / (s.norm() * t.norm()).item() for s, t in zip(student, teacher, strict=True)
    ) / len(student)
    loss = FeatureDistillationLoss()
    assert loss(student, teacher)["loss"].item() == pytest.approx(expected, rel=1e-5)
    assert loss(student * 7, teacher / 3)["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_no_region_gives_zero_with_gradient() -> None:
    student = torch.randn(0, 8, requires_grad=True)
    out = FeatureDistillationLoss()(student, torch.randn(0, 8))
    out["loss"].backward()
    assert out["loss"].item() == 0


def test_embedding_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"\(2, 8\).*\(2, 4\)"):
        FeatureDistillationLoss()(torch.randn(2, 8), torch.randn(2, 4))
