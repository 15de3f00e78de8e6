import math

import pytest
import torch

from densevlm_mm.models.losses import RegionContrastiveLoss

TAU = 0.5


def random_inputs(num_regions: int = 6, num_classes: int = 9) -> dict:
    generator = torch.Generator().manual_seed(0)
    return dict(
        features=torch.randn(num_regions, 16, generator=generator),
        text=torch.nn.functional.normalize(torch.randn(num_classes, 16, generator=generator), dim=-1),
        labels=torch.randint(0, 4, (num_regions,), generator=generator),
    )


def reference(inputs: dict, sampled: list[int]) -> float:
    """Pair by pair, in plain Python floats."""
    losses = []
    for feature, label in zip(inputs["features"], inputs["labels"].tolist(), strict=True):
        for k in sampled:
            cosine = float(torch.dot(feature / feature.norm(), inputs["text"][k]))
            probability = 1 / (1 + math.exp(-cosine / TAU))
            losses.append(-math.log(probability if k == label else 1 - probability))
    return sum(losses) / len(losses)


def test_matches_reference_on_the_whole_vocabulary_if_it_is_small() -> None:
    inputs = random_inputs()
    out = RegionContrastiveLoss(num_classes=100, temperature=TAU)(**inputs, step=0)
    assert out["loss"].item() == pytest.approx(reference(inputs, list(range(9))), rel=1e-5)
    cosines = torch.nn.functional.cosine_similarity(inputs["features"][:, None], inputs["text"][None], dim=-1)
    expected = (cosines.argmax(dim=1) == inputs["labels"]).float().mean()
    assert out["accuracy"].item() == pytest.approx(expected.item())


def test_matches_reference_on_a_sample() -> None:
    inputs = random_inputs()
    loss = RegionContrastiveLoss(num_classes=6, temperature=TAU)
    sampled = loss.sample_classes(inputs["labels"], 9, step=3)
    assert sampled.sum() == 6
    assert sampled[inputs["labels"]].all()
    expected = reference(inputs, sampled.nonzero().flatten().tolist())
    assert loss(**inputs, step=3)["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_all_appearing_classes_are_kept_even_beyond_the_number() -> None:
    labels = torch.arange(8)
    assert RegionContrastiveLoss(num_classes=3).sample_classes(labels, 20, 0).tolist() == [True] * 8 + [False] * 12


def test_random_classes_follow_from_seed_and_step_alone() -> None:
    labels = torch.tensor([1, 2])

    def sample(seed: int, step: int) -> tuple:
        torch.manual_seed(torch.seed() % 1000)  # whatever state training is in
        return tuple(RegionContrastiveLoss(num_classes=10, seed=seed).sample_classes(labels, 50, step).tolist())

    assert sample(0, 4) == sample(0, 4)
    assert len({sample(0, step) for step in range(10)}) == 10
    assert sample(0, 4) != sample(1, 4)
    # Every other class has its turn about equally often.
    counts = sum(torch.tensor(sample(0, step)).int() for step in range(300))
    others = counts[[k for k in range(50) if k not in (1, 2)]]
    assert others.min() > 20
    assert others.max() < 90


def test_gradient_reaches_features_and_pulls_them_to_their_class() -> None:
    inputs = random_inputs()
    features = inputs["features"].clone().requires_grad_()
    loss = RegionContrastiveLoss(temperature=TAU)
    before = loss(features, inputs["text"], inputs["labels"], step=0)["loss"]
    before.backward()
    after = loss(features.detach() - 0.5 * features.grad, inputs["text"], inputs["labels"], step=0)["loss"]
    assert after < before


def test_no_region_gives_zero_with_gradient() -> None:
    features = torch.zeros(0, 16, requires_grad=True)
    out = RegionContrastiveLoss()(features, random_inputs()["text"], torch.zeros(0, dtype=torch.int64), step=0)
    out["loss"].backward()
    assert out["loss"].item() == 0
    assert out["accuracy"].item() == 0


def test_two_processes_have_the_sample_and_the_loss_of_one_with_all_regions(in_two_processes) -> None:
    inputs = random_inputs()
    losses = {how: RegionContrastiveLoss(6, temperature=TAU, class_reduction=how) for how in ("mean", "sum")}

    def outputs(rows: slice) -> dict:
        part = dict(features=inputs["features"][rows], text=inputs["text"], labels=inputs["labels"][rows])
        return {how: loss(**part, step=2) for how, loss in losses.items()}

    whole = outputs(slice(None))
    parts = in_two_processes(lambda rank: outputs((slice(0, 2), slice(2, None))[rank]))  # unevenly spread
    for how in losses:
        for name in ("loss", "accuracy"):
            average = (parts[0][how][name] + parts[1][how][name]) / 2  # as DDP and the log average
            torch.testing.assert_close(average, whole[how][name], rtol=1e-5, atol=0)


def test_the_sum_over_categories_is_the_mean_times_their_number() -> None:
    inputs = random_inputs()
    mean, total = (
        RegionContrastiveLoss(6, temperature=TAU, class_reduction=how)(**inputs, step=3)["loss"]
        for how in ("mean", "sum")
    )
    assert total.item() == pytest.approx(6 * mean.item(), rel=1e-5)


@pytest.mark.parametrize(
    "options", [dict(num_classes=1), dict(temperature=0.0), dict(seed=-1), dict(class_reduction="none")]
)
def test_wrong_arguments_are_named(options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        RegionContrastiveLoss(**options)
