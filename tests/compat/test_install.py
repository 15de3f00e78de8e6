"""What a user's script gets that imports densevlm_mm and then mmdet and mmseg, without pkg_resources."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from densevlm_mm.compat import install

SCRIPT = """
import json
import sys

sys.modules["pkg_resources"] = None  # importing it fails, as with setuptools 82
import densevlm_mm  # noqa: F401

report = dict(imported_early=[name for name in ("mmdet", "mmseg", "mmcv.ops", "lvis") if name in sys.modules])

import mmdet.models  # noqa: E402
import mmseg.models  # noqa: E402
import torch  # noqa: E402
from mmdet.evaluation import LVISMetric  # noqa: E402
from mmdet.structures import DetDataSample  # noqa: E402
from mmdet.structures.mask import BitmapMasks  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.registry import OPTIM_WRAPPERS, init_default_scope  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402

import densevlm_mm.engine.optim_wrappers  # noqa: E402, F401

cfg = Config.fromfile(sys.argv[1] + "/config.py")
init_default_scope("mmdet")
torch.manual_seed(0)
model = mmdet.registry.MODELS.build(cfg.model)


def sample():
    shape = (64, 64)
    data_sample = DetDataSample(metainfo=dict(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0), img_id=1))
    boxes = torch.tensor([[4.0, 4, 36, 40], [30, 20, 60, 60]])
    masks = BitmapMasks([torch.ones(64, 64, dtype=torch.uint8).numpy()] * 2, 64, 64)
    data_sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 2]), masks=masks)
    return data_sample


batch = dict(inputs=[torch.randint(0, 255, (3, 64, 64), dtype=torch.uint8)], data_samples=[sample()])
optimizer = torch.optim.SGD(model.parameters(), 1e-3)
optim_wrapper = OPTIM_WRAPPERS.build(
    dict(type="densevlm_mm.AutocastOptimWrapper", optimizer=optimizer, clip_grad=dict(max_norm=1.0))
)
before = model.roi_head.mask_head.conv_logits.weight.detach().clone()
model.train()
report["losses"] = {k: float(v) for k, v in model.train_step(batch, optim_wrapper).items()}
report["mask_head_learned"] = not torch.equal(before, model.roi_head.mask_head.conv_logits.weight)
model.eval()
report["detections"] = len(model.test_step(batch)[0].pred_instances)

metric = LVISMetric(sys.argv[1] + "/lvis.json", metric="bbox")
metric.dataset_meta = dict(classes=("cat",))
prediction = dict(bboxes=torch.tensor([[4.0, 4, 24, 14]]), scores=torch.tensor([0.9]), labels=torch.tensor([0]))
metric.process({}, [dict(img_id=1, ori_shape=(64, 64), pred_instances=prediction)])
report["lvis"] = metric.evaluate(size=1)

with open(sys.argv[1] + "/report.json", "w") as file:
    json.dump(report, file)
"""

CONFIG = """
_base_ = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"
model = dict(
    backbone=dict(depth=18, base_channels=8, init_cfg=None, frozen_stages=-1, norm_eval=False),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16),
        bbox_head=dict(in_channels=16, fc_out_channels=32, num_classes=3),
        mask_roi_extractor=dict(out_channels=16),
        mask_head=dict(num_convs=1, in_channels=16, conv_out_channels=16, num_classes=3),
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.0)),
)
"""

LVIS = dict(
    images=[
        dict(id=1, width=64, height=64, coco_url="a/1.jpg", neg_category_ids=[], not_exhaustive_category_ids=[]),
    ],
    annotations=[dict(id=1, image_id=1, category_id=1, bbox=[4, 4, 20, 10], area=200, segmentation=[])],
    categories=[dict(id=1, name="cat", frequency="f")],
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("script")
    (folder / "script.py").write_text(SCRIPT)
    (folder / "config.py").write_text(CONFIG)
    (folder / "lvis.json").write_text(json.dumps(LVIS))
    completed = subprocess.run(
        [sys.executable, "-W", "ignore", str(folder / "script.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr[-3000:]
    return json.loads((folder / "report.json").read_text())


def test_importing_the_package_imports_neither_mmdet_nor_mmseg(report: dict[str, Any]) -> None:
    assert report["imported_early"] == []


def test_mask_rcnn_over_an_mmdet_base_config_takes_a_training_step_in_bfloat16(report: dict[str, Any]) -> None:
    losses = report["losses"]
    assert {"loss_rpn_cls", "loss_cls", "loss_bbox", "loss_mask"} <= set(losses)
    assert all(0 <= loss < 100 for name, loss in losses.items() if name.startswith("loss"))
    assert losses["loss_mask"] > 0
    assert report["mask_head_learned"]


def test_mask_rcnn_detects(report: dict[str, Any]) -> None:
    assert 0 < report["detections"] <= 100


def test_lvis_metric_of_mmdet_runs(report: dict[str, Any]) -> None:
    assert report["lvis"]["lvis/bbox_AP"] == 1.0


def test_installing_twice_changes_nothing() -> None:
    extension, finders = sys.modules["mmcv._ext"], list(sys.meta_path)
    install()
    assert sys.modules["mmcv._ext"] is extension
    assert sys.meta_path == finders


def test_what_was_imported_before_the_package_does_no_harm() -> None:
    code = """
import mmdet, mmseg
try:
    import mmcv.ops
except ModuleNotFoundError as error:
    assert error.name == "mmcv._ext"
import densevlm_mm
import mmcv.ops, torch
boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 7]])
assert len(mmcv.ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.5)[0]) == 1
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, check=True, timeout=240)
