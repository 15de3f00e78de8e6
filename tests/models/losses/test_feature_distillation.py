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


def test_projection_maps_into_the_teachers_space_and_learns() -> None:
    torch.manual_seed(0)
    loss = FeatureDistillationLoss(projection=(4, 6))
    student, teacher = torch.randn(5, 4, requires_grad=True), torch.randn(5, 6)
    weight = loss.projection.weight
    torch.testing.assert_close(weight.T @ weight, torch.eye(4), atol=1e-5, rtol=0)  # cosines are kept
    mapped = [[sum(w * x for w, x in zip(row, s, strict=True)) for row in weight.tolist()] for s in student.tolist()]
    cosines = torch.nn.functional.cosine_similarity(torch.tensor(mapped), teacher)
    out = loss(student, teacher)["loss"]
    assert out.item() == pytest.approx(1 - cosines.mean().item(), rel=1e-4)
    out.backward()
    assert weight.grad.abs().sum() > 0
    assert student.grad.abs().sum() > 0


def test_widths_are_checked_before_training() -> None:
    FeatureDistillationLoss().check_widths(512, 512)
    FeatureDistillationLoss(projection=(512, 768)).check_widths(512, 768)
    with pytest.raises(ValueError, match=r"projection=\(512, 768\)"):
        FeatureDistillationLoss().check_widths(512, 768)
    with pytest.raises(ValueError, match=r"640 dimensions, the teacher into 768"):
        FeatureDistillationLoss(projection=(512, 768)).check_widths(640, 768)
    with pytest.raises(ValueError, match="projection"):
        FeatureDistillationLoss(projection=(0, 768))
