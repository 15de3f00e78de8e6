"""Every SAN config can be read and built, and its parts fit together."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from densevlm_mm.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted([*(ROOT / "configs/san").glob("*.py"), *(ROOT / "configs/tiny").glob("san_*.py")])


@pytest.fixture
def build(monkeypatch):
    """Build on the meta device; class embeddings are not made before they are used."""
    from mmseg.registry import MODELS

    import densevlm_mm.segmentation  # noqa: F401

    init_default_scope("mmseg")

    linspace = torch.linspace
    # mmseg's ViT reads its drop rates from a tensor, which one on the meta device does not allow.
    monkeypatch.setattr(torch, "linspace", lambda *args, **options: linspace(*args, **{**options, "device": "cpu"}))

    def build(cfg: Config):
        if "clip" not in cfg.model:  # the tower's checkpoint is read when it is built
            return MODELS.build(cfg.model)
        with torch.device("meta"):
            return MODELS.build(cfg.model)

    return build


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_model_data_and_vocabularies_fit(path: Path, build) -> None:
    cfg = Config.fromfile(path)
    student = ROOT / "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"
    if "clip" not in cfg.model:
        cfg.model.image_encoder.encoder.checkpoint = str(student)
    model = build(cfg)
    tested = Vocabulary.load(cfg.test_evaluator.vocabulary)
    assert model.out_channels == len(model.text_encoder.test_classes) == len(tested)
    if "train_dataloader" not in cfg:
        return
    schedulers = cfg.param_scheduler
    assert max(s.get("end", s.get("T_max", 0)) for s in schedulers) == cfg.train_cfg.max_iters
    dataset = cfg.train_dataloader.dataset.dataset
    names = dataset.get("metainfo", {}).get("classes")
    if names is not None:
        assert tuple(names) == model.text_encoder.classes
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    undecayed = {id(p) for g in wrapper.param_groups if g["weight_decay"] == 0 for p in g["params"]}
    named = dict(model.named_parameters())
    norms_and_embeddings = re.compile(r"\.ln\d\.|conv_clips\.\d\.0\.|pos_embed|query_embed")
    expected = {name for name, p in named.items() if p.requires_grad and norms_and_embeddings.search(name)}
    assert {name for name, p in named.items() if id(p) in undecayed} == expected


def test_encoders_are_compared_under_the_same_conditions() -> None:
    for size in ("b16", "l14"):
        base = Config.fromfile(ROOT / f"configs/san/san_vit-{size}_clip_80k.py")
        for encoder in ("clipself", "densevlm"):
            other = Config.fromfile(ROOT / f"configs/san/san_vit-{size}_{encoder}_80k.py")
            assert other.model.clip.pop("checkpoint") != base.model.clip.checkpoint
            other.model.clip.checkpoint = base.model.clip.checkpoint
            assert other.to_dict() == base.to_dict()
