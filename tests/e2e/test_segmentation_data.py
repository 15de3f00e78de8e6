"""The TinyScenes segmentation base with a model of mmseg's: training, evaluation, pictures, augmented tests."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch import nn

from densevlm_mm.apis import enable_show, enable_tta
from densevlm_mm.tiny_scenes.classes import CLASS_NAMES, HELD_OUT_CLASSES

BASES = Path(__file__).resolve().parents[2] / "configs" / "_base_"


@MODELS.register_module()
class PatchMeanBackbone(nn.Module):
    """Mean colour of 4 x 4 patches: a flipped image has the flipped features."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (nn.functional.avg_pool2d(images, 4),)


@pytest.fixture
def cfg(tiny_world: Path, tmp_path: Path) -> Config:
    path = tmp_path / "experiment.py"
    path.write_text(f"_base_ = ['{BASES}/datasets/seg_tiny_scenes.py', '{BASES}/seg_runtime.py']\n")
    cfg = Config.fromfile(str(path))
    cfg.work_dir = str(tmp_path / "work")
    cfg.model = dict(
        type="EncoderDecoder",
        data_preprocessor=dict(
            type="SegDataPreProcessor", mean=[120.0] * 3, std=[60.0] * 3, bgr_to_rgb=True, size=(64, 64)
        ),
        backbone=dict(type="PatchMeanBackbone"),
        decode_head=dict(
            type="FCNHead",
            in_channels=3,
            channels=3,
            num_convs=0,
            concat_input=False,
            num_classes=32,
            in_index=0,
            dropout_ratio=0,
        ),
        test_cfg=dict(mode="whole"),
    )
    cfg.train_dataloader.dataset.dataset.data_root = str(tiny_world)
    cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(tiny_world)
        loader.update(num_workers=0)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):  # a model of fixed classes does not tell which it saw
        evaluator.train_vocabulary = [name for name in CLASS_NAMES if name not in HELD_OUT_CLASSES]
    cfg.train_cfg = dict(type="IterBasedTrainLoop", max_iters=4, val_interval=4)
    cfg.optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=1.0))
    return cfg


def test_trains_evaluates_and_draws(cfg: Config) -> None:
    runner = Runner.from_cfg(cfg)
    for batch in runner.train_dataloader:
        for sample in batch["data_samples"]:
            names = [
                runner.train_dataloader.dataset.metainfo["classes"][i]
                for i in sample.gt_sem_seg.data.unique()
                if i < 255
            ]
            assert not set(names) & set(HELD_OUT_CLASSES)
    runner.train()
    weights = runner.model.state_dict()

    enable_show(cfg, str(Path(cfg.work_dir) / "shown"))
    cfg.experiment_name = f"{cfg.work_dir}/plain"
    cfg.visualizer.name = cfg.experiment_name
    tester = Runner.from_cfg(cfg)
    tester.model.load_state_dict(weights)
    plain = tester.test()
    assert {"mIoU", "mIoU_present", "mIoU_seen", "mIoU_unseen", "mIoU_things", "mIoU_stuff"} <= plain.keys()
    assert 0 < plain["mIoU_present"] < 100
    assert len(list((Path(cfg.work_dir) / "shown").rglob("*.png"))) == len(tester.test_dataloader.dataset)

    cfg.default_hooks.visualization.draw = False
    enable_tta(cfg)
    cfg.experiment_name = f"{cfg.work_dir}/augmented"
    augmented = Runner.from_cfg(cfg)
    augmented.model.module.load_state_dict(weights)
    figures = augmented.test()
    for key, value in plain.items():  # this model sees the same in the mirror
        assert figures[key] == pytest.approx(value, abs=0.5), key
