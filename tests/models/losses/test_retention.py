import pytest
import torch
from torch.nn.functional import cosine_similarity

from densevlm_mm.models.losses import RetentionLoss

BOX, NONE = [0.0, 0.0, 1.0, 0.5], [0.0, 0.0, 0.0, 0.0]


def arguments(has_view: list[bool]) -> tuple:
    generator = torch.Generator().manual_seed(0)
    views, teacher = (torch.randn(len(has_view), 8, generator=generator) for _ in range(2))
    views[~torch.tensor(has_view)] = 0  # as the student's features are
    return views.requires_grad_(), teacher, torch.tensor([BOX if has else NONE for has in has_view])


def test_the_mean_cosine_of_the_images_that_have_a_view() -> None:
    views, teacher, boxes = arguments([True, False, True])
    out = RetentionLoss()(views, teacher, boxes)
    cosines = [cosine_similarity(views[i], teacher[i], dim=0).item() for i in (0, 2)]
    assert out["cosine"].item() == pytest.approx(sum(cosines) / 2)
    assert out["loss"].item() == pytest.approx(1 - sum(cosines) / 2)
    assert out["no_view"].item() == pytest.approx(1 / 3)
    out["loss"].backward()
    assert views.grad[1].abs().max() == 0
    assert views.grad[0].abs().max() > 0


def test_equal_embeddings_have_no_loss_and_no_gradient() -> None:
    views, _, boxes = arguments([True, True])
    loss = RetentionLoss()(views, 3 * views.detach(), boxes)["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert views.grad.abs().max() < 1e-6


def test_without_any_view_it_is_0_with_a_gradient_of_0() -> None:
    views, teacher, boxes = arguments([False, False])
    out = RetentionLoss()(views, teacher, boxes)
    out["loss"].backward()
    assert out["loss"].item() == 0
    assert views.grad.abs().max() == 0
    assert out["no_view"].item() == 1
    assert all(torch.isfinite(value) for value in out.values())


def test_two_processes_with_uneven_views_have_the_gradient_of_one(in_two_processes) -> None:
    views, teacher, boxes = arguments([True, True, True, False, False, True, False, False])
    whole = RetentionLoss()(views, teacher, boxes)
    whole["loss"].backward()

    def half(rank: int) -> tuple:
        part = slice(4 * rank, 4 * rank + 4)
        own = views.detach()[part].clone().requires_grad_()
        out = RetentionLoss()(own, teacher[part], boxes[part])
        out["loss"].backward()
        return own.grad, {name: value.detach() for name, value in out.items()}

    results = in_two_processes(half)
    torch.testing.assert_close(torch.cat([grad for grad, _ in results]) / 2, views.grad)  # DDP averages
    for name in whole:
        torch.testing.assert_close(sum(out[name] for _, out in results) / 2, whole[name].detach())
