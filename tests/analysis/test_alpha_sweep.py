import numpy as np
import pytest
import torch

from densevlm_mm.analysis import AnalysisModel, ModelSource
from densevlm_mm.analysis.alpha_sweep import AlphaSweep, TrainedWeights
from densevlm_mm.analysis.prepared_batches import PreparedBatches
from densevlm_mm.analysis.region_scores import collect_region_scores
from densevlm_mm.analysis.retention import default_captions, image_level_scores
from densevlm_mm.analysis.tradeoff_picture import plot_by_depth, plot_tradeoff
from densevlm_mm.models.clip.ensemble_alpha import EnsembleAlpha

CONFIG = "configs/tiny/densevlm.py"
STUDENT = "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> str:
    """A runner checkpoint whose trained weights are the initial ones and noise."""
    model = AnalysisModel(ModelSource("a", STUDENT, CONFIG), device="cpu").build_pretrainer()
    initial = model.state_dict()
    generator = torch.Generator().manual_seed(0)
    raw = {
        name: value + 0.02 * torch.randn(value.shape, generator=generator) if "trunk.blocks." in name else value
        for name, value in initial.items()
    }
    content = dict(
        meta=dict(iter=1),
        state_dict=raw,
        weight_ensemble=dict(alpha=0.7, initial_state_dict={k: v for k, v in initial.items() if v.is_floating_point()}),
    )
    path = tmp_path_factory.mktemp("trained") / "iter_1.pth"
    torch.save(content, path)
    return str(path)


@pytest.fixture
def options(world) -> dict:
    return {
        "test_dataloader.dataset.data_root": str(world),
        "test_dataloader.num_workers": 0,
        "test_dataloader.batch_size": 4,
    }


@pytest.fixture
def sweep(trained, options) -> AlphaSweep:
    return AlphaSweep(ModelSource("trained", trained, CONFIG), cfg_options=options, device="cpu")


def expected_figures(checkpoint: str, options: dict) -> dict[str, float]:
    """By the other analysis tools, which read the file by themselves."""
    model = AnalysisModel(ModelSource("x", checkpoint, CONFIG), options, "cpu")
    regions = collect_region_scores(model).evaluate()
    dense = np.mean([regions[f"{group}_top1"] for group in ("boxes", "masks_t", "masks_s")])
    return {**regions, **image_level_scores(model, default_captions(model.cfg)), "dense_mean": float(dense)}


def test_alpha_zero_is_the_initial_model_and_the_own_alpha_what_is_exported(sweep, trained, options) -> None:
    for ensemble, checkpoint in ((0.0, STUDENT), (sweep.own, trained)):
        figures = sweep.evaluate(ensemble)
        expected = expected_figures(checkpoint, options)
        coherence = figures.pop("coherence_auc")
        assert 0.5 < coherence < 1
        assert {name: expected[name] for name in figures} == figures
        assert {"dense_mean", "class_top1", "image_to_text_r1", "text_to_image_r1"} <= figures.keys()
    assert sweep.own == EnsembleAlpha(0.7, 0.7)
    assert sweep.evaluate(0.0) != sweep.evaluate(sweep.own)


def test_zero_and_one_are_the_stored_weights_to_the_bit(sweep, trained) -> None:
    stored = torch.load(trained, weights_only=True)
    for alpha, expected in ((1.0, stored["state_dict"]), (0.0, stored["weight_ensemble"]["initial_state_dict"])):
        sweep._load(EnsembleAlpha(alpha, alpha))
        loaded = sweep._pretrainer.state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in expected.items())


def test_two_encoders_keep_the_whole_images_of_the_initial_model(sweep) -> None:
    both, initial, trained = sweep.two_encoders(), sweep.evaluate(0.0), sweep.evaluate(sweep.own)
    assert both["dense_mean"] == trained["dense_mean"]
    assert both["offset_control"] == trained["offset_control"]
    assert both["text_to_image_r1"] == initial["text_to_image_r1"]
    assert both["class_top1"] == initial["class_top1"]


def test_weights_by_depth_are_those_of_the_hook(sweep, trained) -> None:
    """Of two blocks the first one gets the first weight, all else the last."""
    stored = torch.load(trained, weights_only=True)
    raw, initial = stored["state_dict"], stored["weight_ensemble"]["initial_state_dict"]
    sweep._load(EnsembleAlpha(0.0, 1.0))
    loaded = sweep._pretrainer.state_dict()
    for name, start in initial.items():
        assert torch.equal(loaded[name], start if "trunk.blocks.0." in name else raw[name])
    assert sweep.evaluate(dict(first=0.3, last=0.3)) == sweep.evaluate(0.3)


def test_another_sweep_reads_no_image_again(trained, options, monkeypatch) -> None:
    prepared = PreparedBatches(1 << 30)
    first = AlphaSweep(ModelSource("a", trained, CONFIG), prepared, cfg_options=options, device="cpu")
    expected = first.evaluate(0.5)
    second = AlphaSweep(ModelSource("b", trained, CONFIG), prepared, cfg_options=options, device="cpu")
    monkeypatch.setattr("cv2.imdecode", None)
    assert second.evaluate(0.5) == expected


def test_without_captions_there_is_no_retrieval(trained, options) -> None:
    source = ModelSource("a", trained, CONFIG)
    sweep = AlphaSweep(source, cfg_options=options, device="cpu", with_captions=False)
    figures = sweep.evaluate(0.5)
    assert "class_top1" in figures
    assert "text_to_image_r1" not in figures


def test_weights_without_initial_ones_are_refused() -> None:
    with pytest.raises(ValueError, match=r"student\.safetensors holds no initial weights .* WeightEnsembleHook"):
        TrainedWeights.read(STUDENT, verify=False)


def test_another_architecture_is_refused(trained, options) -> None:
    source = ModelSource("a", trained, "configs/tiny/teacher.py")
    with pytest.raises(ValueError, match="fit"):
        AlphaSweep(source, cfg_options=options, device="cpu")


def test_pictures_are_whole(tmp_path, assert_whole_picture) -> None:
    def figures(x: float, y: float) -> dict[str, float]:
        return dict(dense_mean=y, text_to_image_r1=x, image_to_text_r1=x, class_top1=90 - x)

    weights = (0.0, 0.5, 0.9, 1.0)
    model = dict(
        curve=[dict(alpha=a, **figures(10 - 6 * a, 30 + 20 * a)) for a in weights],
        initial=figures(10, 30),
        two_encoders=figures(10, 48),
        by_depth=[
            dict(first=a, last=b, **figures(10 - 3 * a - 2 * b, 30 + 12 * a + 9 * b)) for a in weights for b in weights
        ],
    )
    plot_tradeoff({"a": model, "b": model}, tmp_path / "a.png", title="t")
    plot_by_depth({"a": model}, tmp_path / "b.png", title="t")
    for name in "ab":
        assert_whole_picture(tmp_path / f"{name}.png")
