"""Runs with image-level retention and captions, on twelve images."""

from pathlib import Path

import pytest
import torch

from densevlm_mm.apis import build_runner, claim_work_dir
from densevlm_mm.models.encoders import DenseImageEncoder
from tests.fixtures.short_runs import Run

STUDENT = "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"
# Steps of full size: otherwise the warm-up outlasts such a run.
ONCE = {"train_cfg.max_epochs": 1, "param_scheduler.0.start_factor": 1.0}


@pytest.fixture
def captions(tiny_world) -> dict[str, object]:
    return {"default_hooks.captions.captions": str(tiny_world / "annotations/captions_train.json")}


def test_weight_0_trains_as_without_to_the_bit(train, captions) -> None:
    without = train("densevlm", "without", last=3, **ONCE)
    off = {"model.loss.weights.retain": 0.0, "model.loss.weights.caption": 0.0}
    weighted = train("retention_captions", "off", last=3, **ONCE, **captions, **off)
    for name, value in without.weights.items():
        assert torch.equal(value, weighted.weights[name]), name
    assert [figures["loss"] for figures in weighted.figures] == [figures["loss"] for figures in without.figures]


def test_resume_in_mid_epoch_is_exact_to_the_bit(train, captions, tmp_path) -> None:
    whole = train("retention_captions", "whole", last=3, **ONCE, **captions)
    first, *others = (figures["retain_cosine"] for figures in whole.figures)
    assert first == pytest.approx(1, abs=1e-6)
    assert max(others) < 0.999
    resumed = train("retention_captions", "resumed", tmp_path / "whole/iter_2.pth", last=3, **ONCE, **captions)
    assert len(resumed.figures) == 1
    assert resumed.equals(whole)


def test_two_processes_train_like_one_with_the_doubled_batch(
    experiment, train, captions, in_two_processes, monkeypatch
) -> None:
    # See test_pretraining.py for eps.
    options = {**ONCE, "optim_wrapper.optimizer.eps": 1e-5, **captions}
    one = train("retention_captions", "one", last=3, **options)
    cfg = experiment("retention_captions", "two", **{**options, "train_dataloader.batch_size": 2})
    monkeypatch.setenv("LOCAL_RANK", "0")

    def run(rank: int) -> None:
        cfg.launcher = "pytorch"
        build_runner(cfg).train()

    in_two_processes(run)
    two = Run(Path(cfg.work_dir), 3)
    start = DenseImageEncoder(checkpoint=STUDENT).state_dict()
    assert max((one.weights[f"encoder.{name}"] - value).abs().max() for name, value in start.items()) > 1e-4
    torch.testing.assert_close(two.weights, one.weights, rtol=0, atol=1e-5)
    for figures, expected in zip(two.figures, one.figures, strict=True):
        assert figures == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_clipself_with_a_cache_and_region_texts_are_retained_by_config_alone(train, experiment, tmp_path) -> None:
    cached = train("retention_clipself", "cached", last=3, **ONCE, **{"default_hooks.teacher.cache": dict(path="")})
    assert {"distill_value", "retain_cosine"} < set(cached.figures[0])

    cfg = experiment("region_clip_boxes", "boxes", **ONCE)
    losses = dict(contrast=cfg.model.loss, retain=dict(type="RetentionLoss"))
    cfg.model.loss = dict(type="WeightedLosses", losses=losses, weights=dict(contrast=1.0, retain=1.0))
    cfg.default_hooks.retention = dict(type="RetentionHook", view="whole")
    claim_work_dir(cfg, None)
    build_runner(cfg).train()
    assert {"contrast_accuracy", "retain_cosine"} < set(Run(tmp_path / "boxes", 3).figures[0])
