import pytest
import torch

from densevlm_mm.models.losses import FeatureDistillationLoss, PretrainingLoss, RegionContrastiveLoss, WeightedLosses
from densevlm_mm.registry import MODELS


@MODELS.register_module()
class MapSizeLoss(PretrainingLoss):
    """A loss of the dense map and of something of each image."""

    features = ("dense", "regions")
    inputs = ("target_size",)

    def __init__(self, figure: str = "size") -> None:
        super().__init__()
        self.figure = figure

    def forward(self, dense: torch.Tensor, regions: torch.Tensor, target_size: torch.Tensor) -> dict:
        size = dense.square().mean(dim=(1, 2, 3))
        return {"loss": (size - target_size).abs().mean() + 0 * regions.sum(), self.figure: size.mean()}


@pytest.fixture(scope="module", autouse=True)
def _unregister():
    yield
    MODELS.module_dict.pop("MapSizeLoss")


LOSSES = dict(
    distill=dict(type="FeatureDistillationLoss"),
    contrast=dict(type="RegionContrastiveLoss", num_classes=3, temperature=0.5),
    size=dict(type="MapSizeLoss"),
)


def arguments() -> dict:
    torch.manual_seed(0)
    return dict(
        regions=torch.randn(5, 8, requires_grad=True),
        dense=torch.randn(2, 8, 4, 4, requires_grad=True),
        teacher_features=torch.randn(5, 8),
        text=torch.randn(4, 8),
        labels=torch.tensor([0, 1, 1, 3, 2]),
        step=0,
        target_size=torch.tensor([1.0, 2.0]),
    )


def call(loss: WeightedLosses, given: dict) -> dict:
    return loss(*(given[name] for name in loss.features), **{name: given[name] for name in loss.inputs})


def test_every_part_gets_what_it_asks_for_and_the_sum_is_weighted() -> None:
    loss = WeightedLosses(LOSSES, dict(distill=2.0, contrast=0.5, size=3.0))
    assert loss.features == ("regions", "dense")
    assert loss.inputs == ("teacher_features", "text", "labels", "step", "target_size")
    given = arguments()
    out = call(loss, given)
    expected = dict(
        distill=FeatureDistillationLoss()(given["regions"], given["teacher_features"]),
        contrast=RegionContrastiveLoss(3, temperature=0.5)(given["regions"], given["text"], given["labels"], 0),
        size=MapSizeLoss()(given["dense"], given["regions"], given["target_size"]),
    )
    for name, weight in dict(distill=2.0, contrast=0.5, size=3.0).items():
        torch.testing.assert_close(out[f"loss_{name}"], weight * expected[name]["loss"])
        torch.testing.assert_close(out[f"{name}_value"], expected[name]["loss"])
        assert not out[f"{name}_value"].requires_grad
    torch.testing.assert_close(out["contrast_accuracy"], expected["contrast"]["accuracy"])
    torch.testing.assert_close(out["size_size"], expected["size"]["size"])


def test_a_part_of_weight_0_is_not_there() -> None:
    losses = dict(distill=LOSSES["distill"], project=dict(type="FeatureDistillationLoss", projection=(8, 6)))
    torch.manual_seed(3)
    loss = WeightedLosses(dict(losses, size=LOSSES["size"]), dict(distill=1.0, project=0.0, size=0))
    drawn = torch.rand(1)
    assert (loss.features, loss.inputs) == (("regions",), ("teacher_features",))
    assert not loss.state_dict()
    torch.manual_seed(3)
    assert torch.rand(1) == drawn  # and it has drawn nothing
    given = arguments()
    alone = FeatureDistillationLoss()(given["regions"], given["teacher_features"])["loss"]
    out = call(loss, given)
    assert set(out) == {"loss_distill", "distill_value"}
    assert torch.equal(out["loss_distill"], alone)


def test_widths_are_checked_by_every_part() -> None:
    loss = WeightedLosses(LOSSES, dict(distill=1.0, contrast=1.0, size=1.0))
    loss.check_widths(8, 8)
    with pytest.raises(ValueError, match=r"projection=\(8, 6\)"):
        loss.check_widths(8, 6)


def test_a_figure_that_would_be_minimised_is_an_error() -> None:
    loss = WeightedLosses(dict(size=dict(type="MapSizeLoss", figure="lossless")), dict(size=1.0))
    with pytest.raises(ValueError, match="MapSizeLoss returns a figure 'lossless'"):
        call(loss, arguments())


@pytest.mark.parametrize(
    ("names", "weights", "problem"),
    [
        (["a", "b"], dict(a=1.0), "'b' is in one of them"),
        (["a"], dict(a=1.0, b=1.0), "'b' is in one of them"),
        (["a", "b"], dict(a=1.0, b=-0.1), "weight of 'b' must not be negative, got -0.1"),
        (["a"], dict(a=float("nan")), "weight of 'a'"),
        (["a"], dict(a=0.0), "all weights are 0"),
        (["glossy"], dict(glossy=1.0), "'glossy' cannot name a loss"),
        (["a.b"], {"a.b": 1.0}, "'a.b' cannot name a loss"),
    ],
)
def test_wrong_names_and_weights_are_named(names: list[str], weights: dict, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        WeightedLosses({name: dict(type="FeatureDistillationLoss") for name in names}, weights)
