"""tools/train.py and tools/test.py serve mmdetection and mmsegmentation configs too."""

from pathlib import Path

import pytest

from densevlm_mm.vocabulary import Vocabulary

DETECTOR = """
_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', 'mmdet::_base_/default_runtime.py']
custom_imports = dict(imports=['densevlm_mm'], allow_failed_imports=False)
classes = {things}
model = dict(
    backbone=dict(depth=18, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512]),
    bbox_head=dict(num_classes=20),
    test_cfg=dict(score_thr=0.))
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]
train_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='densevlm_mm.ResumableSampler', shuffle=True),
    batch_sampler=None, drop_last=True,
    dataset=dict(type='densevlm_mm.SeededDataset', dataset=dict(
        type='mmdet.CocoDataset', data_root={root!r}, ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train'), metainfo=dict(classes=classes), pipeline=pipeline)))
val_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset', data_root={root!r}, ann_file='annotations/instances_val.json', test_mode=True,
        data_prefix=dict(img='val'), metainfo=dict(classes=classes), pipeline=pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', ann_file={root!r} + '/annotations/instances_val.json')
test_evaluator = val_evaluator
train_cfg = dict(type='densevlm_mm.ResumableEpochBasedTrainLoop', max_epochs=1, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.001))
default_hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4), logger=dict(interval=1))
randomness = dict(seed=0)
"""

SEGMENTOR = """
_base_ = ['mmseg::_base_/models/fcn_r50-d8.py', 'mmseg::_base_/default_runtime.py']
custom_imports = dict(imports=['densevlm_mm'], allow_failed_imports=False)
data_preprocessor = dict(size=(64, 64))
model = dict(
    data_preprocessor=data_preprocessor, pretrained=None,
    backbone=dict(depth=18), decode_head=dict(in_channels=512, channels=32, num_classes=32),
    auxiliary_head=None)
pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
dataset = dict(
    type='BaseSegDataset', data_root={root!r}, pipeline=pipeline, img_suffix='.jpg', seg_map_suffix='.png',
    metainfo=dict(classes={classes}, palette=[[i, i, i] for i in range(32)]))
train_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(data_prefix=dict(img_path='train', seg_map_path='semantic_train'), **dataset))
val_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(data_prefix=dict(img_path='val', seg_map_path='semantic_val'), **dataset))
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
train_cfg = dict(type='IterBasedTrainLoop', max_iters=3, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.001))
default_hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=3),
                     visualization=dict(type='SegVisualizationHook', interval=1))
"""


@pytest.fixture
def write_config(tiny_world: Path, tmp_path: Path):
    vocabulary = Vocabulary.load("tiny_scenes")
    things = tuple(name for name, thing in zip(vocabulary.classes, vocabulary.thing_mask, strict=True) if thing)

    def write(text: str) -> Path:
        path = tmp_path / "config.py"
        path.write_text(text.format(root=str(tiny_world), things=things, classes=tuple(vocabulary.classes)))
        return path

    return write


def test_detector(run_tool, write_config, tmp_path) -> None:
    config = write_config(DETECTOR)
    run_tool("train.py", config, "--amp", "--work-dir", tmp_path / "whole")
    checkpoint = (tmp_path / "whole" / "last_checkpoint").read_text()
    resumed = run_tool(
        "train.py", config, "--amp", "--resume", tmp_path / "whole/iter_4.pth", "--work-dir", tmp_path / "on"
    )
    assert "resumed epoch: 0, iter: 4" in resumed.stdout + resumed.stderr
    flags = ["--tta", "--work-dir", tmp_path, "--out", tmp_path / "detections.pkl"]
    tested = run_tool("test.py", config, checkpoint, *flags)
    assert "coco/bbox_mAP" in tested.stdout + tested.stderr
    assert (tmp_path / "detections.pkl").is_file()


def test_segmentor(run_tool, write_config, tmp_path) -> None:
    config = write_config(SEGMENTOR)
    run_tool("train.py", config, "--work-dir", tmp_path)
    arguments = [config, tmp_path / "iter_3.pth", "--work-dir", tmp_path, "--show-dir", tmp_path / "pictures"]
    tested = run_tool("test.py", *arguments, "--out", tmp_path / "maps")
    assert "mIoU" in tested.stdout + tested.stderr
    assert len(list((tmp_path / "maps").iterdir())) == 7
    assert list((tmp_path / "pictures").rglob("*.png"))


def test_encoder_weights_for_a_detector_are_an_error(run_tool, write_config, tmp_path) -> None:
    weights = "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"
    result = run_tool("test.py", write_config(DETECTOR), weights, "--work-dir", tmp_path, check=False)
    assert result.returncode != 0
    assert "encoder weights" in result.stderr
    assert "Traceback" not in result.stderr
