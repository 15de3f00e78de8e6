"""Every CAT-Seg config can be read, and what it names exists and fits together."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from open_clip.pretrained import get_pretrained_cfg

from densevlm_mm.models.clip.architecture import resolve_architecture
from densevlm_mm.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs/cat_seg").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_names_what_exists(path: Path) -> None:
    import densevlm_mm.segmentation  # noqa: F401

    init_default_scope("mmseg")
    cfg = Config.fromfile(str(path))
    model = cfg.model
    vision = resolve_architecture(model.image_encoder.model_name).cfg["vision_cfg"]
    assert model.image_encoder.model_name.endswith("-quickgelu")  # what OpenAI's weights were trained with
    assert model.text_encoder.model_name == model.image_encoder.model_name
    for encoder in (model.image_encoder, model.text_encoder):
        if encoder.checkpoint.startswith("open_clip:"):
            assert get_pretrained_cfg(encoder.model_name, encoder.checkpoint.removeprefix("open_clip:"))["quick_gelu"]
    grid = model.image_encoder.image_size // vision["patch_size"]
    assert grid == 24
    assert grid % model.decode_head.aggregator.window_size == 0
    thirds = (vision["layers"] // 3, 2 * vision["layers"] // 3)
    assert tuple(index + 1 for index in model.guidance_indices) == thirds

    dataset = cfg.test_dataloader.dataset
    assert cfg.test_evaluator.vocabulary == model.test_vocabulary
    assert len(Vocabulary.load(model.vocabulary)) == 171
    assert ("847" in dataset.type or "459" in dataset.type) == (not model.test_cfg.get("keep_scores", True))
    if "train_dataloader" in cfg:
        steps = {step.type: step for step in cfg.train_dataloader.dataset.dataset.pipeline}
        assert tuple(steps["RandomCrop"].crop_size) == (384, 384)
        assert steps["ResizeShortestEdge"].scale == 384
        assert cfg.optim_wrapper.clip_grad.max_norm == 0.01
        assert cfg.train_cfg.max_iters == 80_000


@pytest.mark.parametrize("stem", ["b16", "l14"])
def test_checkpoints_alone_tell_the_encoders_apart(stem: str) -> None:
    clip, *others = (
        Config.fromfile(str(ROOT / f"configs/cat_seg/cat-seg_vit-{stem}_{name}.py")).to_dict()
        for name in ("clip", "clipself", "densevlm")
    )
    for other in others:
        assert other["model"]["image_encoder"].pop("checkpoint") != clip["model"]["image_encoder"]["checkpoint"]
        other["model"]["image_encoder"]["checkpoint"] = clip["model"]["image_encoder"]["checkpoint"]
        assert other == clip
