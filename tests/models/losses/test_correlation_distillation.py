import math

import pytest
import torch
from torch.nn.functional import cosine_similarity

from densevlm_mm.models.losses import CorrelationDistillationLoss

KINDS = [dict(kind="kl"), dict(kind="kl", relative=False, temperature=0.5), dict(kind="mse")]


def random_tokens(groups: int = 4, positions: int = 7, seed: int = 0) -> dict[str, torch.Tensor]:
    """Student (G, L, 6), teacher (G, L, 9) and what is valid; the last group has two valid positions, too few."""
    generator = torch.Generator().manual_seed(seed)
    valid = torch.rand(groups, positions, generator=generator) < 0.8
    valid[0], valid[-1] = True, False
    valid[-1, :2] = True
    return dict(
        features=torch.randn(groups, positions, 6, generator=generator),
        teacher_tokens=torch.randn(groups, positions, 9, generator=generator),
        teacher_tokens_valid=valid,
    )


def reference(kind: str, features, teacher_tokens, teacher_tokens_valid, temperature=0.2, relative=True) -> float:
    """One row at a time, over the valid positions alone."""
    terms: list[float] = []
    for student, teacher, valid in zip(features, teacher_tokens, teacher_tokens_valid, strict=True):
        places = [i for i in range(len(valid)) if valid[i]]
        for i in places:
            others = [j for j in places if j != i]
            if len(others) < 2:
                continue
            rows = [[float(cosine_similarity(x[i], x[j], dim=0)) for j in others] for x in (student, teacher)]
            if kind == "mse":
                terms += [(s - t) ** 2 for s, t in zip(*rows, strict=True)]
                continue
            if relative:
                rows = [[(v - min(row)) / (max(row) - min(row)) for v in row] for row in rows]
            powers = [[math.exp(v / temperature) for v in row] for row in rows]
            q, p = ([v / sum(row) for v in row] for row in powers)
            terms.append(sum(b * math.log(b / a) for a, b in zip(q, p, strict=True)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("options", KINDS)
def test_loss_equals_a_loop_over_the_valid_positions(options: dict) -> None:
    given = random_tokens()
    out = CorrelationDistillationLoss(**options)(**given)
    assert out["loss"].item() == pytest.approx(reference(**{**options, **given}), rel=1e-4)
    assert out["kept"].item() == pytest.approx(3 / 4)


@pytest.mark.parametrize("options", KINDS)
def test_maps_of_images_give_the_loss_of_their_positions(options: dict) -> None:
    given = random_tokens(positions=12)
    student, teacher = (given[name].transpose(1, 2).unflatten(2, (3, 4)) for name in ("features", "teacher_tokens"))
    valid = given["teacher_tokens_valid"].unflatten(1, (3, 4))
    expected = CorrelationDistillationLoss(**options)(**given)
    of_images = dict(teacher_map=teacher, teacher_map_valid=valid, img_id=list("abcd"), step=0)
    out = CorrelationDistillationLoss("image", **options)(student, **of_images)
    for name, value in expected.items():
        torch.testing.assert_close(out[name], value)


@pytest.mark.parametrize("options", KINDS)
def test_equal_similarities_cost_nothing_however_the_embedding_is_turned(options: dict) -> None:
    given = random_tokens()
    generator = torch.Generator().manual_seed(1)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q
    loss = CorrelationDistillationLoss(**options)
    torch.testing.assert_close(loss(**{**given, "features": given["features"] @ rotation}), loss(**given))
    turned = (
        2.5 * given["teacher_tokens"] @ torch.linalg.qr(torch.randn(9, 9, generator=generator)).Q
    ).requires_grad_()
    out = loss(**{**given, "features": turned})["loss"]
    out.backward()
    assert out.item() == pytest.approx(0, abs=1e-6)
    assert turned.grad.abs().max() < 1e-5


@pytest.mark.parametrize("options", KINDS)
def test_the_order_of_positions_does_not_matter(options: dict) -> None:
    given = random_tokens()
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    loss = CorrelationDistillationLoss(**options)
    permuted = {name: values[:, order] for name, values in given.items()}
    torch.testing.assert_close(loss(**permuted), loss(**given))


@pytest.mark.parametrize("options", KINDS)
def test_what_is_not_valid_neither_counts_nor_gets_a_gradient(options: dict) -> None:
    given = random_tokens()
    loss = CorrelationDistillationLoss(**options)
    features = given["features"].clone().requires_grad_()
    loss(**{**given, "features": features})["loss"].backward()
    assert features.grad[~given["teacher_tokens_valid"]].abs().max() == 0
    assert features.grad[-1].abs().max() == 0
    assert features.grad[0].abs().min() > 0
    changed = features.detach() + 100.0 * ~given["teacher_tokens_valid"][..., None]
    torch.testing.assert_close(loss(**{**given, "features": changed}), loss(**given))


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_maps_are_finite(options: dict, value: float) -> None:
    given = random_tokens()
    for names in (("features",), ("teacher_tokens",), ("features", "teacher_tokens")):
        changed = given | {name: torch.full_like(given[name], value) for name in names}
        features = changed["features"].requires_grad_()
        out = CorrelationDistillationLoss(**options)(**changed)["loss"]
        out.backward()
        assert out.isfinite()
        assert features.grad.isfinite().all()


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("groups", [0, 3])
def test_nothing_valid_gives_zero_with_gradient(options: dict, groups: int) -> None:
    given = random_tokens()
    nothing = {name: values[:groups].clone() for name, values in given.items()}
    nothing["teacher_tokens_valid"][:] = False
    features = nothing["features"].requires_grad_()
    out = CorrelationDistillationLoss(**options)(**nothing)
    out["loss"].backward()
    assert (out["loss"].item(), out["kept"].item()) == (0, 0)
    assert features.grad.count_nonzero() == 0


@pytest.mark.parametrize("options", KINDS)
def test_a_step_brings_the_similarities_nearer(options: dict) -> None:
    given = random_tokens()
    features = given["features"].clone().requires_grad_()
    loss = CorrelationDistillationLoss(**options)
    before = loss(**{**given, "features": features})["loss"]
    before.backward()
    assert loss(**{**given, "features": features.detach() - 0.1 * features.grad})["loss"] < before


def image_targets(num_images: int = 3, seed: int = 0) -> dict:
    generator = torch.Generator().manual_seed(seed)
    valid = torch.ones(num_images, 5, 8, dtype=torch.bool)
    valid[1, :, 3:] = False  # 15 positions
    return dict(
        features=torch.randn(num_images, 6, 5, 8, generator=generator),
        teacher_map=torch.randn(num_images, 9, 5, 8, generator=generator),
        teacher_map_valid=valid,
        img_id=[7, "a/b.jpg", 9][:num_images],
    )


def test_of_too_many_positions_some_are_drawn_from_seed_step_and_image_alone() -> None:
    given = image_targets()
    loss = CorrelationDistillationLoss("image", max_positions=20)
    drawn = {name: values for name, values in given.items() if name != "features"}
    student, _, valid = loss._positions(given["features"], **drawn, step=4)
    assert student.shape == (3, 20, 6)
    assert valid.sum(dim=1).tolist() == [20, 15, 20]  # none of the valid ones gives way to padding
    positions = given["features"].flatten(2).transpose(1, 2)
    assert all((positions[i][None] == token[:, None]).all(-1).any() for i in range(3) for token in student[i, None])
    assert len(student[0].unique(dim=0)) == 20

    def value(step: int = 4, places: tuple[int, ...] = (0, 1, 2), seed: int = 0) -> float:
        part = {name: [v[i] for i in places] for name, v in given.items()}
        part = {name: v if name == "img_id" else torch.stack(v) for name, v in part.items()}
        return CorrelationDistillationLoss("image", max_positions=20, seed=seed)(**part, step=step)["loss"].item()

    assert value() == pytest.approx(value(places=(2, 0, 1)), rel=1e-5)  # not from the place in the batch
    assert len({round(v, 6) for v in (value(), value(step=5), value(seed=1))}) == 3


def test_a_limit_that_is_not_reached_changes_nothing() -> None:
    given = image_targets()
    losses = [CorrelationDistillationLoss("image", max_positions=n)(**given, step=0) for n in (40, 1024)]
    assert torch.equal(losses[0]["loss"], losses[1]["loss"])


@pytest.mark.parametrize("options", KINDS)
def test_two_processes_have_the_loss_of_one_with_all_groups(options: dict, in_two_processes) -> None:
    given = random_tokens()
    loss = CorrelationDistillationLoss(**options)

    def output(rows: slice) -> dict:
        return loss(**{name: values[rows] for name, values in given.items()})

    whole = output(slice(None))
    parts = in_two_processes(lambda rank: output((slice(0, 1), slice(1, None))[rank]))  # unevenly spread
    for name, value in whole.items():
        average = (parts[0][name] + parts[1][name]) / 2  # as DDP and the log average
        torch.testing.assert_close(average, value, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    "options",
    [dict(scope="box"), dict(kind="l1"), dict(temperature=0.0), dict(max_positions=2), dict(seed=-1)],
)
def test_wrong_arguments_are_named(options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        CorrelationDistillationLoss(**options)


def test_other_positions_than_the_teachers_are_an_error() -> None:
    given = random_tokens()
    with pytest.raises(ValueError, match=r"\(4, 6\) \(regions, positions\) and the teacher \(4, 7\).*token_size"):
        CorrelationDistillationLoss()(**{**given, "features": given["features"][:, :6]})
    images = image_targets()
    with pytest.raises(ValueError, match=r"\(4, 8\) positions and the teacher's \(5, 8\)"):
        CorrelationDistillationLoss("image")(**{**images, "features": images["features"][:, :, :4]}, step=0)
