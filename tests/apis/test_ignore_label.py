"""The ignored label is declared by the data set and reaches loss, padding, crops and metric."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmseg.registry import MODELS
from PIL import Image

import densevlm_mm.segmentation  # noqa: F401
from densevlm_mm.apis import load_experiment
from densevlm_mm.apis.ignore_label import spread_ignore_index

CONFIG = """
default_scope = 'mmseg'
pipeline = [
    dict(type='densevlm_mm.LoadImage'),
    dict(type='LoadSegLabels'),
    dict(type='RandomCrop', crop_size=(20, 20), cat_max_ratio=0.9),
    dict(type='PackSegInputs')]
dataset = dict(
    type='LabelMapDataset', data_root={root!r}, data_prefix=dict(img_path='img', seg_map_path='labels'),
    metainfo=dict(classes=('sea', 'boat')), img_suffix='.png', seg_map_suffix='.png', pipeline=pipeline,
    ignore_index={ignored})
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='densevlm_mm.SeededDataset', dataset=dataset))
test_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dataset)
test_evaluator = dict(type='IoUMetric')
head = dict(
    type='FCNHead', in_channels=64, channels=8, num_convs=1, concat_input=False, num_classes=2, in_index=0,
    dropout_ratio=0)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[120.] * 3, std=[60.] * 3, size=(32, 32), seg_pad_val=255),
    backbone=dict(type='ResNet', depth=18, num_stages=1, out_indices=(0,), strides=(1,), dilations=(1,)),
    decode_head=dict(head), auxiliary_head=[dict(head)])
"""


def write(root: Path, ignored: int) -> Path:
    rng = np.random.default_rng(0)
    for folder in ("img", "labels"):
        (root / folder).mkdir(parents=True)
    for number in range(2):
        Image.fromarray(rng.integers(0, 255, (24, 30, 3), dtype=np.uint8)).save(root / "img" / f"{number}.png")
        labels = rng.integers(0, 3, (24, 30)).astype(np.uint8)
        Image.fromarray(np.where(labels == 2, np.uint8(ignored), labels)).save(root / "labels" / f"{number}.png")
    (root / "config.py").write_text(CONFIG.format(root=str(root), ignored=ignored))
    return root / "config.py"


def losses(cfg: Config) -> dict[str, torch.Tensor]:
    with DefaultScope.overwrite_default_scope("mmseg"):
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        (batch,) = Runner.build_dataloader(cfg.train_dataloader, seed=0)
        return model(**model.data_preprocessor(batch, training=True), mode="loss")


@pytest.mark.parametrize("ignored", [7, 254])
def test_losses_do_not_depend_on_which_label_is_ignored(tmp_path: Path, ignored: int) -> None:
    expected = losses(load_experiment(str(write(tmp_path / "mmseg", 255))))
    found = losses(load_experiment(str(write(tmp_path / "own", ignored))))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value)


def test_every_place_follows(tmp_path: Path) -> None:
    cfg = load_experiment(str(write(tmp_path, 7)))
    assert cfg.model.decode_head.ignore_index == cfg.model.auxiliary_head[0].ignore_index == 7
    assert cfg.model.data_preprocessor.seg_pad_val == 7
    assert cfg.train_dataloader.dataset.dataset.pipeline[2].ignore_index == 7
    assert cfg.test_evaluator.ignore_index == 7


def test_a_contradiction_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    path = write(tmp_path, 7)
    for place, value in (
        ("model.decode_head.ignore_index", 5),
        ("model.data_preprocessor.seg_pad_val", 0),
        ("test_evaluator.ignore_index", 3),
    ):
        cfg = Config.fromfile(str(path))
        cfg.merge_from_dict({place: value})
        with pytest.raises(ValueError, match=rf"{place} is {value}, but the ignored label .* is 7\. Declare it once"):
            spread_ignore_index(cfg)


@pytest.mark.parametrize("name", ["cat_seg_original", "san_original"])
def test_our_configs_are_as_they_were(name: str) -> None:
    path = Path(__file__).resolve().parents[2] / "configs" / "tiny" / f"{name}.py"
    assert load_experiment(str(path)).model == Config.fromfile(str(path)).model


def test_classes_left_out_become_the_ignored_label() -> None:
    from densevlm_mm.tiny_scenes.classes import CLASS_NAMES
    from densevlm_mm.tiny_scenes.seg_dataset import TinyScenesSegDataset

    options = dict(metainfo=dict(classes=CLASS_NAMES[1:]), ignore_index=99, lazy_init=True, pipeline=[])
    dataset = TinyScenesSegDataset(data_root="", data_prefix=dict(img_path=".", seg_map_path="."), **options)
    dataset.img_suffix = ".nothing"
    with pytest.raises(ValueError, match="no image ending"):
        dataset.load_data_list()
    assert dataset.label_map[0] == 99
    assert dataset.label_map[1] == 0
