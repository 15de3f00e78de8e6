import math
from statistics import mean

import pytest
import torch

from densevlm_mm.models.losses import DecoupledAlignmentLoss

NUM_REGIONS, NUM_CLASSES, DIM = 24, 7, 16
TAU = 0.1  # soft enough for every class to matter in the numbers
REGIONS_OF_IMAGE = (4, 9, 0, 6, 5)
REDUCTIONS = ("image", "group", "region")


def random_inputs(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return dict(
        features=torch.randn(NUM_REGIONS, DIM, generator=generator),
        text=torch.nn.functional.normalize(torch.randn(NUM_CLASSES, DIM, generator=generator), dim=-1),
        thing_mask=torch.tensor([True, False, True, True, False, False, True]),
        teacher_logits=torch.rand(NUM_REGIONS, NUM_CLASSES, generator=generator) * 2 - 1,
        image_index=torch.repeat_interleave(torch.arange(5), torch.tensor(REGIONS_OF_IMAGE)),
        num_images=5,
    )


def reference(inputs: dict, thing_contrast: str, stuff_contrast: str, threshold: float, reduction: str) -> float:
    """Region by region, class by class, in plain Python floats."""
    things = [k for k in range(NUM_CLASSES) if inputs["thing_mask"][k]]
    stuff = [k for k in range(NUM_CLASSES) if not inputs["thing_mask"][k]]
    everything = list(range(NUM_CLASSES))
    losses = {True: [], False: []}
    images = [[] for _ in range(inputs["num_images"])]
    for feature, teacher, image in zip(
        inputs["features"], inputs["teacher_logits"], inputs["image_index"].tolist(), strict=True
    ):
        student = [float(torch.dot(feature / feature.norm(), t)) / TAU for t in inputs["text"]]
        teacher = [float(t) / TAU for t in teacher]
        total = sum(math.exp(t) for t in teacher)
        confidence, label = max((math.exp(t) / total, k) for k, t in enumerate(teacher))
        if confidence <= threshold:
            continue
        if label in things:
            allowed = things if thing_contrast == "things" else everything
        else:
            allowed = stuff if stuff_contrast == "stuff" else everything
        p = [math.exp(teacher[k]) / sum(math.exp(teacher[j]) for j in allowed) for k in allowed]
        q = [math.exp(student[k]) / sum(math.exp(student[j]) for j in allowed) for k in allowed]
        kl = sum(pi * math.log(pi / qi) for pi, qi in zip(p, q, strict=True))
        losses[label in things].append(kl)
        images[image].append(kl)
    if reduction == "image":
        return mean(mean(kept) for kept in images if kept)
    if reduction == "region":
        return mean(losses[True] + losses[False])
    return sum(mean(group) for group in losses.values() if group)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("thing_contrast", "stuff_contrast"), [("all", "all"), ("things", "stuff"), ("all", "stuff"), ("things", "all")]
)
def test_rows_of_table_3_match_reference(thing_contrast: str, stuff_contrast: str, reduction: str) -> None:
    inputs = random_inputs()
    loss = DecoupledAlignmentLoss(thing_contrast, stuff_contrast, temperature=TAU, threshold=0.5, reduction=reduction)
    expected = reference(inputs, thing_contrast, stuff_contrast, 0.5, reduction)
    assert loss(**inputs)["loss"].item() == pytest.approx(expected, rel=1e-4)


def test_an_image_weighs_the_same_however_many_regions_it_has() -> None:
    inputs = random_inputs()
    loss = DecoupledAlignmentLoss(temperature=TAU, threshold=0.0)  # the paper's reduction is the default
    alone = []
    for image in (0, 1, 3, 4):
        rows = inputs["image_index"] == image
        part = {name: inputs[name][rows] for name in ("features", "teacher_logits")}
        index = torch.zeros(len(part["features"]), dtype=torch.int64)
        alone.append(loss(**dict(inputs, **part, image_index=index, num_images=1)))
    assert loss(**inputs)["loss"].item() == pytest.approx(mean(out["loss"].item() for out in alone), rel=1e-5)


def test_images_without_a_kept_region_are_left_out_of_the_mean() -> None:
    inputs = random_inputs()
    inputs["teacher_logits"][4:13] = 0  # the second image: no category stands out
    out = DecoupledAlignmentLoss(temperature=TAU, threshold=0.5)(**inputs)
    expected = reference(inputs, "things", "all", 0.5, "image")
    assert out["loss"].item() == pytest.approx(expected, rel=1e-4)
    rows = inputs["image_index"] != 1
    others = dict(
        inputs,
        features=inputs["features"][rows],
        teacher_logits=inputs["teacher_logits"][rows],
        image_index=inputs["image_index"][rows],
    )
    assert DecoupledAlignmentLoss(temperature=TAU, threshold=0.5)(**others)["loss"].item() == pytest.approx(expected)


def test_two_processes_have_loss_gradient_and_figures_of_one_with_all_images(in_two_processes) -> None:
    # Of 5 images the first process has one, without a kept region, and the second the others.
    whole = random_inputs()
    whole["teacher_logits"][:4] = 0

    def outputs(inputs: dict) -> dict:
        results = {}
        for reduction in REDUCTIONS:
            features = inputs["features"].clone().requires_grad_()
            out = DecoupledAlignmentLoss(temperature=TAU, threshold=0.4, reduction=reduction)(
                **dict(inputs, features=features)
            )
            out["loss"].backward()
            results[reduction] = dict({name: value.detach() for name, value in out.items()}, gradient=features.grad)
        return results

    def share(rank: int) -> dict:
        rows = (whole["image_index"] < 1) if rank == 0 else (whole["image_index"] >= 1)
        part = {name: whole[name][rows] for name in ("features", "teacher_logits")}
        index = whole["image_index"][rows] - rank
        return outputs(dict(whole, **part, image_index=index, num_images=(1, 4)[rank]))

    alone, (first, second) = outputs(whole), in_two_processes(share)
    for reduction in REDUCTIONS:
        for name in ("loss", "kept", "kept_stuff", "confidence"):
            average = (first[reduction][name] + second[reduction][name]) / 2  # as DDP and the log average
            torch.testing.assert_close(average, alone[reduction][name], rtol=1e-5, atol=0)
        gradient = torch.cat([first[reduction]["gradient"], second[reduction]["gradient"]]) / 2
        torch.testing.assert_close(gradient, alone[reduction]["gradient"], rtol=1e-4, atol=1e-8)
    assert first["image"]["loss"] == 0
    assert 0 < alone["image"]["kept"] < 1


def test_thing_region_ignores_stuff_classes() -> None:
    inputs = random_inputs()
    inputs["teacher_logits"][:, 0] = 5.0  # class 0 is a thing: every region is a thing region
    inputs["text"] = inputs["text"].requires_grad_()
    DecoupledAlignmentLoss(temperature=TAU)(**inputs)["loss"].backward()
    assert inputs["text"].grad[~inputs["thing_mask"]].abs().max() == 0
    assert inputs["text"].grad[inputs["thing_mask"]].abs().max() > 0


def test_no_confident_region_gives_zero_loss_and_zero_gradient() -> None:
    inputs = random_inputs()
    inputs["teacher_logits"].zero_()
    inputs["features"].requires_grad_()
    for reduction in REDUCTIONS:
        inputs["features"].grad = None
        out = DecoupledAlignmentLoss(reduction=reduction)(**inputs)
        out["loss"].backward()
        assert out["loss"].item() == 0
        assert out["kept"].item() == 0
        assert out["kept_stuff"].item() == 0
        assert inputs["features"].grad.abs().max() == 0


def test_threshold_is_strict() -> None:
    inputs = random_inputs()
    inputs["teacher_logits"] = torch.zeros(NUM_REGIONS, NUM_CLASSES)
    inputs["teacher_logits"][:, :2] = 10.0  # two classes share the probability: exactly one half
    assert DecoupledAlignmentLoss(threshold=0.5)(**inputs)["kept"].item() == 0
    assert DecoupledAlignmentLoss(threshold=0.499)(**inputs)["kept"].item() == 1


def test_one_category_and_one_sided_vocabularies_are_finite() -> None:
    for mask in ([True], [False], [True, True], [False, False]):
        inputs = random_inputs()
        inputs["thing_mask"] = torch.tensor(mask)
        inputs["text"] = inputs["text"][: len(mask)]
        inputs["teacher_logits"] = inputs["teacher_logits"][:, : len(mask)]
        out = DecoupledAlignmentLoss("things", "stuff")(**inputs)
        assert torch.isfinite(out["loss"])
        if len(mask) == 1:
            assert out["loss"].item() == 0


def test_no_region_at_all() -> None:
    inputs = random_inputs()
    inputs["features"] = inputs["features"][:0].requires_grad_()
    inputs["teacher_logits"] = inputs["teacher_logits"][:0]
    inputs["image_index"] = inputs["image_index"][:0]
    out = DecoupledAlignmentLoss()(**inputs)
    out["loss"].backward()
    assert all(value.item() == 0 for value in out.values())


def test_figures() -> None:
    inputs = random_inputs()
    inputs["teacher_logits"].zero_()
    inputs["teacher_logits"][:6, 1] = 10.0  # six confident stuff regions
    inputs["teacher_logits"][6:8, 0] = 10.0  # two confident things
    out = DecoupledAlignmentLoss(threshold=0.5)(**inputs)
    assert out["kept"].item() == pytest.approx(8 / NUM_REGIONS)
    assert out["kept_stuff"].item() == pytest.approx(6 / 8)
    assert out["confidence"].item() == pytest.approx((8 + 16 / NUM_CLASSES) / NUM_REGIONS)


def test_gradient_matches_finite_differences() -> None:
    inputs = random_inputs()
    loss = DecoupledAlignmentLoss(temperature=0.5, threshold=0.0)
    direction = torch.randn(NUM_REGIONS, DIM)
    inputs["features"].requires_grad_()
    loss(**inputs)["loss"].backward()
    analytic = (inputs["features"].grad * direction).sum().item()

    def at(step: float) -> float:
        moved = dict(inputs, features=(inputs["features"] + step * direction).detach())
        return loss(**moved)["loss"].item()

    assert (at(1e-2) - at(-1e-2)) / 2e-2 == pytest.approx(analytic, rel=2e-2)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("thing_contrast", "stuff"),
        ("stuff_contrast", "things"),
        ("temperature", 0.0),
        ("threshold", 1.0),
        ("threshold", -0.1),
        ("reduction", "sum"),
    ],
)
def test_wrong_arguments_are_named(argument: str, value: object) -> None:
    with pytest.raises(ValueError, match=argument) as error:
        DecoupledAlignmentLoss(**{argument: value})
    assert str(value) in str(error.value)


def test_autocast_changes_nothing() -> None:
    inputs = random_inputs()
    expected = DecoupledAlignmentLoss(temperature=0.01)(**inputs)["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(DecoupledAlignmentLoss(temperature=0.01)(**inputs)["loss"], expected)
