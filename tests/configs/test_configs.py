"""Every pretraining config can be read, and what it names exists and fits together."""

from pathlib import Path

import open_clip
import pytest
import torch
from mmengine.config import Config
from open_clip.pretrained import get_pretrained_cfg

from densevlm_mm.models.encoders.architecture import resolve_architecture
from densevlm_mm.models.encoders.towers import adapter_for
from densevlm_mm.models.text import Vocabulary

ROOT = Path(__file__).resolve().parents[2]
# Detectors and segmentors have tests of their own.
OTHER_TASKS = {"fvit", "san", "cat_seg"}
CONFIGS = sorted(
    path
    for path in (ROOT / "configs").rglob("*.py")
    if "_base_" not in path.parts
    and path.parent.name not in OTHER_TASKS
    and not path.stem.startswith(tuple(OTHER_TASKS))
)


@pytest.fixture(scope="module")
def strides() -> dict[str, int]:
    return {}


def stride_of(model_name: str, known: dict[str, int]) -> int:
    if model_name not in known:
        with torch.device("meta"):
            known[model_name] = adapter_for(resolve_architecture(model_name).build_visual()).stride
    return known[model_name]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_config_names_what_exists(path: Path, strides: dict[str, int]) -> None:
    cfg = Config.fromfile(str(path))
    encoders = [cfg.model.encoder, cfg.default_hooks.teacher.teacher]
    for encoder in encoders:
        assert encoder.model_name in open_clip.list_models()
        if encoder.checkpoint.startswith("open_clip:"):
            assert get_pretrained_cfg(encoder.model_name, encoder.checkpoint.removeprefix("open_clip:"))
    vocabularies = [
        cfg.model[key].vocabulary for key in ("class_embeddings", "test_class_embeddings") if key in cfg.model
    ]
    for name in vocabularies:
        assert Vocabulary.load(name).is_thing is not None

    stride = stride_of(cfg.model.encoder.model_name, strides)
    for pipeline in (cfg.train_dataloader.dataset.dataset.pipeline, cfg.val_dataloader.dataset.pipeline):
        steps = {step.type: step for step in pipeline}
        assert steps["ResizeLongestSide"].size == steps["PadToSquare"].size
        if "LoadPanopticRegions" in steps:
            assert steps["LoadPanopticRegions"].feature_stride == stride
        if "GridRegions" in steps and path.parent.name == "densevlm":
            assert steps["PadToSquare"].size % stride == 0
    assert cfg.val_dataloader == cfg.test_dataloader
    assert cfg.val_dataloader.dataset.vocabulary in vocabularies

    teacher_size = cfg.default_hooks.teacher.get("input_size")
    if teacher_size is not None:
        assert teacher_size % stride_of(cfg.default_hooks.teacher.teacher.model_name, strides) == 0


def test_dataset_vocabulary_is_the_one_regions_are_classified_into() -> None:
    for path in CONFIGS:
        cfg = Config.fromfile(str(path))
        tested = cfg.model.get("test_class_embeddings") or cfg.model.class_embeddings
        assert tested.vocabulary == cfg.test_dataloader.dataset.vocabulary, path


def test_published_config_reads_its_oddities() -> None:
    cfg = Config.fromfile(str(ROOT / "configs/densevlm/pretrain_coco_published.py"))
    embeddings = cfg.model.class_embeddings
    assert Vocabulary.load(embeddings.vocabulary).with_num_things(embeddings.num_things).num_things == 203
    assert embeddings.normalization == "prompt"
    assert cfg.model.loss.reduction == "group"
    assert tuple(cfg.train_dataloader.sampler.shard) == (0, 4)
