import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import normalize

from densevlm_mm.models.losses import CaptionContrastLoss

TEMPERATURE = 0.2


def arguments(ids: list[int], without_view: tuple[int, ...] = ()) -> tuple:
    """Captions of an id are one vector."""
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(len(ids), 8, generator=generator)
    texts = normalize(torch.randn(max(ids) + 1, 8, generator=generator), dim=-1)
    captions = torch.stack([texts[i] if i >= 0 else torch.zeros(8) for i in ids])
    boxes = torch.tensor([[0.0, 0.0, float(row not in without_view), 1.0] for row in range(len(ids))])
    return views.requires_grad_(), captions, torch.tensor(ids), boxes


def reference(views: torch.Tensor, captions: torch.Tensor, ids: list[int], rows: list[int]) -> torch.Tensor:
    cosine = {(i, j): normalize(views[i], dim=0) @ captions[j] / TEMPERATURE for i in rows for j in rows}
    total = 0
    for i in rows:
        positives = [j for j in rows if ids[j] == ids[i]]
        for j in positives:
            to_text = cosine[i, j] - torch.stack([cosine[i, k] for k in rows]).logsumexp(0)
            to_image = cosine[j, i] - torch.stack([cosine[k, i] for k in rows]).logsumexp(0)
            total = total - (to_text + to_image) / len(positives) / 2
    return total / len(rows)


@pytest.mark.parametrize(
    ("ids", "without_view", "rows"),
    [
        ([0, 1, 2], (), [0, 1, 2]),
        ([0, 1, 0, 2, 0], (), [0, 1, 2, 3, 4]),
        ([0, -1, 0, 2, 1, -1], (), [0, 2, 3, 4]),
        ([0, 1, 0, 2], (2,), [0, 1, 3]),
    ],
)
def test_equals_a_double_loop_where_equal_captions_share_the_target(
    ids: list[int], without_view: tuple[int, ...], rows: list[int]
) -> None:
    arguments_ = arguments(ids, without_view)
    views, captions = arguments_[:2]
    out = CaptionContrastLoss(TEMPERATURE)(*arguments_)
    expected = reference(views, captions, ids, rows)
    torch.testing.assert_close(out["loss"], expected)
    gradients = [torch.autograd.grad(value, views)[0] for value in (out["loss"], expected)]
    torch.testing.assert_close(*gradients)
    assert out["left_out"].item() == pytest.approx(1 - len(rows) / len(ids))
    best = [max(rows, key=lambda j, i=i: float(normalize(views[i].detach(), dim=0) @ captions[j])) for i in rows]
    right = [ids[i] == ids[j] for i, j in zip(rows, best, strict=True)]
    assert out["accuracy"].item() == pytest.approx(sum(right) / len(rows))


@pytest.mark.parametrize("ids", [[-1, -1, -1], [-1, 0, -1]])
def test_fewer_than_two_captions_give_0_with_a_gradient_of_0(ids: list[int]) -> None:
    arguments_ = arguments(ids)
    out = CaptionContrastLoss(TEMPERATURE)(*arguments_)
    out["loss"].backward()
    assert out["loss"].item() == 0
    assert arguments_[0].grad.abs().max() == 0
    assert all(torch.isfinite(value) for value in out.values())


def test_embeddings_of_0_give_no_gradient_that_is_not_finite() -> None:
    views, captions, ids, boxes = arguments([0, 1, 2, 3], without_view=(1,))
    zeros = torch.zeros(8)
    CaptionContrastLoss(TEMPERATURE)(torch.stack([views[0], zeros, *views[2:]]), captions, ids, boxes)[
        "loss"
    ].backward()
    assert torch.isfinite(views.grad).all()


def test_two_processes_contrast_what_one_does(in_two_processes) -> None:
    views, captions, ids, boxes = arguments([0, 1, -1, 2, 1, 3, 0, 4], without_view=(5,))
    whole = CaptionContrastLoss(TEMPERATURE)(views, captions, ids, boxes)
    whole["loss"].backward()

    def half(rank: int) -> tuple:
        part = slice(rank, None, 2)
        own = views.detach()[part].clone().requires_grad_()
        out = CaptionContrastLoss(TEMPERATURE)(own, captions[part], ids[part], boxes[part])
        out["loss"].backward()
        return own.grad, {name: value.detach() for name, value in out.items()}

    results = in_two_processes(half)
    gradient = torch.stack([grad for grad, _ in results], dim=1).flatten(0, 1) / 2  # DDP averages
    torch.testing.assert_close(gradient, views.grad)
    for name in whole:
        torch.testing.assert_close(sum(out[name] for _, out in results) / 2, whole[name].detach())


def test_a_temperature_of_0_is_named() -> None:
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        CaptionContrastLoss(temperature=0)


def test_nothing_is_read_back_from_the_device() -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):  # values that are asked for are an error
        views = torch.rand(3, 8, requires_grad=True)
        CaptionContrastLoss()(views, torch.rand(3, 8), torch.tensor([0, -1, 1]), torch.rand(3, 4))["loss"].backward()
