import pytest
import torch

from densevlm_mm.models.losses.masked_cross_entropy import MaskedCrossEntropyLoss

WEIGHTS = (1.0, 0.0, 1.0, 0.6)  # base, novel, base, background


def logits(num_regions: int = 6) -> torch.Tensor:
    return torch.randn(num_regions, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()


LABELS = torch.tensor([0, 2, 3, 3, 0, 2])


def reference(pred: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """-w log(exp(own) / sum of exp of columns 0, 2, 3), region by region."""
    losses = []
    for row, label in zip(pred.double().tolist(), labels.tolist(), strict=True):
        exps = [torch.tensor(v).double().exp().item() for v in row]
        probability = exps[label] / (exps[0] + exps[2] + exps[3])
        losses.append(-WEIGHTS[label] * torch.tensor(probability).double().log().item())
    return losses


def test_equals_the_formula_and_divides_by_the_number_of_regions() -> None:
    pred = logits()
    expected = reference(pred, LABELS)
    loss = MaskedCrossEntropyLoss(WEIGHTS, loss_weight=2.0)
    assert loss(pred, LABELS, avg_factor=8).item() == pytest.approx(2 * sum(expected) / 8, rel=1e-5)
    assert loss(pred, LABELS).item() == pytest.approx(2 * sum(expected) / 6, rel=1e-5)
    assert loss(pred, LABELS, reduction_override="sum").item() == pytest.approx(2 * sum(expected), rel=1e-5)
    per_region = loss(pred, LABELS, reduction_override="none")
    assert per_region.tolist() == pytest.approx([2 * v for v in expected], rel=1e-5)


def test_region_weights_count() -> None:
    pred = logits()
    weight = torch.tensor([1.0, 0.0, 1.0, 0.5, 1.0, 1.0])
    expected = sum(w * v for w, v in zip(weight.tolist(), reference(pred, LABELS), strict=True))
    assert MaskedCrossEntropyLoss(WEIGHTS)(pred, LABELS, weight, avg_factor=5).item() == pytest.approx(expected / 5)


def test_novel_column_has_no_influence_and_no_gradient() -> None:
    loss = MaskedCrossEntropyLoss(WEIGHTS)
    pred, other = logits(), logits()
    other.data[:, 1] = torch.tensor([1e4, -1e4, 50.0, 0.0, 3e38, -3e38])
    values = [loss(p, LABELS) for p in (pred, other)]
    for value in values:
        value.backward()
    assert torch.equal(*values)
    assert torch.equal(pred.grad, other.grad)
    assert (pred.grad[:, 1] == 0).all()
    assert (pred.grad[:, [0, 2, 3]] != 0).all()


def test_region_labelled_novel_costs_nothing() -> None:
    pred, short = logits(), logits()
    labels = LABELS.clone()
    labels[0] = 1
    loss = MaskedCrossEntropyLoss(WEIGHTS)
    value = loss(pred, labels, avg_factor=6)
    value.backward()
    assert (pred.grad[0] == 0).all()
    assert value.item() == pytest.approx(loss(short[1:], LABELS[1:], avg_factor=6).item())


def test_without_weights_is_plain_cross_entropy() -> None:
    pred = logits()
    torch.testing.assert_close(
        MaskedCrossEntropyLoss()(pred, LABELS), torch.nn.functional.cross_entropy(pred, LABELS), atol=1e-6, rtol=1e-5
    )


def test_half_precision_logits_are_reduced_in_full() -> None:
    assert MaskedCrossEntropyLoss(WEIGHTS)(logits().bfloat16(), LABELS).dtype == torch.float32


def test_no_region_gives_zero() -> None:
    pred = logits(0)
    value = MaskedCrossEntropyLoss(WEIGHTS)(pred, torch.zeros(0, dtype=torch.long), avg_factor=1)
    value.backward()
    assert value.item() == 0


def test_accuracy_is_among_the_columns_that_count() -> None:
    pred = torch.tensor([[1.0, 9.0, 0.0, 0.0], [1.0, 9.0, 0.0, 2.0]])
    assert MaskedCrossEntropyLoss(WEIGHTS).get_accuracy(pred, torch.tensor([0, 0]))["acc"].item() == 50


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (dict(class_weight=(1, -1, 1)), "negative"),
        (dict(class_weight=(1, 0)), "background"),
        (dict(reduction="max"), "max"),
    ],
)
def test_wrong_arguments_are_named(options, named) -> None:
    with pytest.raises(ValueError, match=named):
        MaskedCrossEntropyLoss(**options)


def test_wrong_number_of_weights_is_named() -> None:
    with pytest.raises(ValueError, match="4 class weights for logits of 5"):
        MaskedCrossEntropyLoss(WEIGHTS)(torch.zeros(1, 5), torch.tensor([0]))
