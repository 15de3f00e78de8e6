"""Baselines and ablations take real steps on a small world, those of full size with small models; one is resumed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from densevlm_mm.apis import build_runner, check_inputs, claim_work_dir, load_experiment
from densevlm_mm.models.encoders import DenseImageEncoder

ROOT = Path(__file__).resolve().parents[2]
STUDENT, TEACHER = (f"densevlm_mm/tiny_scenes/assets/tiny_scenes_{who}.safetensors" for who in ("student", "teacher"))
BASELINES = (
    "clipself",
    "clipself_proposals",
    "correlation_clipself",
    "correlation_densevlm",
    "correlation_densevlm_teacher",
    "crop_features",
    "crop_logits",
    "densevlm_proposals",
    "densevlm_theta00",
    "densevlm_unrefined_teacher",
    "region_clip",
    "region_clip_boxes",
)


@pytest.fixture(scope="module")
def region_file(run_tool, tiny_world: Path) -> Path:
    """Pseudo labels of the first 12 images, made by the tool that makes them for users."""
    out = tiny_world / "annotations/pseudo_labels_train.json"
    loaders = ("train_dataloader.dataset.dataset", "val_dataloader.dataset")
    options = [*(f"{loader}.data_root={tiny_world}" for loader in loaders), "train_dataloader.num_workers=0"]
    options += ["train_dataloader.persistent_workers=False", "train_dataloader.dataset.dataset.indices=12"]
    work_dir = ["--work-dir", tiny_world / "pseudo_labels"]
    run_tool("pseudo_labels.py", "configs/tiny/densevlm.py", out, *work_dir, "--cfg-options", *options)
    return out


@pytest.fixture
def train(three_iterations: dict[str, object], tmp_path: Path, monkeypatch) -> Callable[..., dict]:
    """Train a config below configs/ for three iterations of four images; returns the last checkpoint."""
    monkeypatch.chdir(ROOT)

    def run(name: str, work_dir: str = "run", resume: str | None = None, **options: object) -> dict:
        settings = {
            **three_iterations,
            "train_cfg.max_epochs": 1,
            "default_hooks.logger.interval": 1,
            "default_hooks.checkpoint.interval": 1,
            **options,
        }
        cfg = load_experiment(f"configs/{name}.py", settings, str(tmp_path / work_dir))
        cfg.visualizer.vis_backends = [dict(type="LocalVisBackend")]  # TensorBoard takes seconds to import
        cfg.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
        claim_work_dir(cfg, resume)
        check_inputs(cfg, "train")
        cfg.experiment_name = f"{tmp_path.name}_{work_dir}"
        build_runner(cfg).train()
        return torch.load(tmp_path / work_dir / "iter_3.pth", weights_only=True)

    return run


def test_pseudo_labels_are_regions_in_source_pixels_with_all_categories(region_file) -> None:
    content = json.loads(region_file.read_text())
    assert len(content["images"]) == 12
    assert [category["isthing"] for category in content["categories"]] == [1] * 20 + [0] * 12
    assert content["annotations"]
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        assert min(x, y) >= 0
        assert max(x + width, y + height) <= 64
        assert 16 <= min(width, height) <= max(width, height) <= 32  # cells of 2 to 4 a side
        assert 0.3 < annotation["score"] <= 1


@pytest.mark.parametrize("name", BASELINES)
def test_baseline_changes_the_blocks_and_nothing_else(name: str, train, region_file, tmp_path) -> None:
    options = {}
    if name == "densevlm_unrefined_teacher":  # of which only the refined version lies in the repository
        options["default_hooks.teacher.teacher.checkpoint"] = TEACHER
    checkpoint = train(f"tiny/{name}", **options)
    initial, trained = checkpoint["weight_ensemble"]["initial_state_dict"], checkpoint["state_dict"]
    changed = {key for key, start in initial.items() if not torch.equal(start, trained[key])}
    projection = {key for key in changed if key.startswith("loss_module.projection")}
    assert bool(projection) == (name == "crop_features")
    assert changed - projection
    assert all(key.startswith("encoder.visual.trunk.blocks.") for key in changed - projection)
    # What the loss learned beside the encoder is no part of the encoder.
    encoder = DenseImageEncoder("TinyScenes-S", str(tmp_path / "run/iter_3.pth"))
    assert encoder.dense(torch.zeros(1, 3, 64, 64)).shape == (1, 128, 8, 8)
    assert all(value.isfinite().all() for value in trained.values() if value.is_floating_point())


@pytest.mark.parametrize(
    "name",
    [
        "clipself/clipself_coco_eva02_b16",
        "clipself/clipself_coco_eva02_b16_proposals",
        "clipself/crop_features_coco_eva02_b16",
        "clipself/crop_logits_coco_eva02_b16",
        "correlation/clipself_coco_eva02_b16",
        "correlation/densevlm_coco_eva02_b16",
        "correlation/densevlm_coco_eva02_b16_dinov2",
        "densevlm/pretrain_coco_proposals",
        "region_clip/region_clip_coco_eva02_b16",
    ],
)
def test_full_size_config_trains_small_models(name: str, train, region_file) -> None:
    dataset, teacher = "train_dataloader.dataset.dataset", "default_hooks.teacher.teacher"
    options = {
        "model.encoder.model_name": "TinyScenes-S",
        "model.encoder.checkpoint": STUDENT,
        "model.class_embeddings.vocabulary": "tiny_scenes",
        "model.class_embeddings.templates": "plain",
        "model.test_class_embeddings.vocabulary": "tiny_scenes",
        "model.test_class_embeddings.templates": "plain",
        f"{dataset}.source": "annotations/instances_train.json",
        f"{dataset}.data_prefix.img": "train",
        f"{dataset}.pipeline.1.size": 64,
        f"{dataset}.pipeline.3.size": 64,
    }
    if not name.startswith("region_clip/"):
        same = "/clipself" in name
        options[f"{teacher}.model_name"] = "TinyScenes-S" if same else "TinyScenes-T"
        options[f"{teacher}.checkpoint"] = STUDENT if same else TEACHER
    if "crop_features" in name:
        options["model.loss.projection"] = (128, 128)
    if "proposals" in name or name.startswith("region_clip/"):
        options[f"{dataset}.region_file"] = str(region_file)
    if "/densevlm" in name or name.startswith("densevlm/"):
        options["default_hooks.teacher.input_size"] = 64
    if "dinov2" in name:
        options["default_hooks.correlate.teacher"] = dict(model_name="test_vit", checkpoint="random")
    checkpoint = train(name, **options)
    trained, initial = checkpoint["state_dict"], checkpoint["weight_ensemble"]["initial_state_dict"]
    assert any(not torch.equal(start, trained[key]) for key, start in initial.items() if key.startswith("encoder."))


def test_region_clip_resumes_exactly_with_the_same_classes_drawn(train, tmp_path) -> None:
    # Fewer classes than the vocabulary has, so that some are drawn.
    whole = train("tiny/region_clip_boxes", "whole", **{"model.loss.num_classes": 14})
    resumed = train(
        "tiny/region_clip_boxes", "resumed", str(tmp_path / "whole/iter_1.pth"), **{"model.loss.num_classes": 14}
    )
    for part in ("state_dict", "optimizer"):
        torch.testing.assert_close(resumed[part], whole[part], rtol=0, atol=0)


def test_two_teachers_and_two_losses_resume_exactly(train, tmp_path) -> None:
    # DenseVLM's targets and CLIPSelf's, whose teacher is the student as it starts.
    student = dict(type="DenseImageEncoder", model_name="TinyScenes-S", checkpoint=STUDENT)
    options = {
        "model.loss": dict(
            _delete_=True,
            type="WeightedLosses",
            losses=dict(align=dict(type="DecoupledAlignmentLoss"), distill=dict(type="FeatureDistillationLoss")),
            weights=dict(align=1.0, distill=10.0),
        ),
        "default_hooks.distill": dict(type="CropTeacherHook", teacher=student),
    }
    whole = train("tiny/densevlm", "whole", **options)
    resumed = train("tiny/densevlm", "resumed", str(tmp_path / "whole/iter_1.pth"), **options)
    for part in ("state_dict", "optimizer"):
        torch.testing.assert_close(resumed[part], whole[part], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["tiny/densevlm", "tiny/region_clip_boxes"])
def test_correlations_of_weight_0_leave_a_method_as_it_is_to_the_bit(name: str, train) -> None:
    alone = train(name, "alone")
    loss = load_experiment(f"configs/{name}.py", {}, "none").model.loss.to_dict()
    parts = dict(main=loss, correlate=dict(type="CorrelationDistillationLoss", scope="image", kind="mse"))
    hook = dict(type="CorrelationTeacherHook", scope="image")

    def weighted(weight: float) -> dict:
        weights = dict(main=1.0, correlate=weight)
        options = dict(_delete_=True, type="WeightedLosses", losses=parts, weights=weights)
        return train(name, str(weight), **{"model.loss": options, "default_hooks.correlate": hook})

    nothing, much = weighted(0.0), weighted(10.0)
    for part in ("state_dict", "optimizer"):
        torch.testing.assert_close(nothing[part], alone[part], rtol=0, atol=0)
    assert any(not torch.equal(value, alone["state_dict"][key]) for key, value in much["state_dict"].items())


@pytest.mark.parametrize("scope", ["region", "image"])
def test_correlations_resume_exactly_with_the_same_positions_drawn(scope: str, train, tmp_path) -> None:
    options = {
        "model.loss.losses.correlate.scope": scope,
        "model.loss.losses.correlate.max_positions": 20,
        "default_hooks.correlate.scope": scope,
    }
    whole = train("tiny/correlation_densevlm", "whole", **options)
    resumed = train("tiny/correlation_densevlm", "resumed", str(tmp_path / "whole/iter_1.pth"), **options)
    for part in ("state_dict", "optimizer"):
        torch.testing.assert_close(resumed[part], whole[part], rtol=0, atol=0)


def test_correlations_train_beside_a_teacher_cache(train, tmp_path) -> None:
    without = train("tiny/correlation_clipself", "without")
    cache = {"default_hooks.teacher.cache": dict(path=str(tmp_path / "cache"))}
    for run in ("first", "second"):  # of which the second never asks CLIPSelf's teacher
        cached = train("tiny/correlation_clipself", run, **cache)
        torch.testing.assert_close(cached["state_dict"], without["state_dict"], rtol=0, atol=0)


def test_a_target_that_no_hook_writes_stops_before_a_teacher_is_built(train, tmp_path) -> None:
    options = {"default_hooks.teacher.with_logits": False, "default_hooks.teacher.teacher.model_name": "no such model"}
    with pytest.raises(ValueError, match=r"DecoupledAlignmentLoss needs 'teacher_logits'.*RegionRetrievalHook"):
        train("tiny/crop_logits", **options)
    assert not list(tmp_path.rglob("*.pth"))


def test_an_unknown_category_stops_before_the_first_step(train, tmp_path, tiny_world) -> None:
    content = json.loads((tiny_world / "annotations/instances_train.json").read_text())
    content["categories"][0]["name"] = "boats"
    (tmp_path / "regions.json").write_text(json.dumps(content))
    options = {"train_dataloader.dataset.dataset.region_file": str(tmp_path / "regions.json")}
    with pytest.raises(ValueError, match=r"'boats' is not among the 32 classes; close to it: 'boat'"):
        train("tiny/region_clip_boxes", **options)
    assert not list(tmp_path.rglob("*.pth"))


def test_a_teacher_of_another_architecture_than_its_weights_stops_before_the_first_step(train, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"tiny_scenes_student\.safetensors"):
        train("tiny/crop_logits", **{"default_hooks.teacher.teacher.checkpoint": STUDENT})
    assert not list(tmp_path.rglob("*.pth"))
