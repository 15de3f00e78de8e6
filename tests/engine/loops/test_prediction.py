import json
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from PIL import Image
from torch import ones, zeros

from densevlm_mm.registry import MODELS


@MODELS.register_module()
class FindsABoat(BaseModel):
    """A detector that sees a boat in every image."""

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = "tensor") -> Any:
        for sample in data_samples:
            sample.set_field(InstanceData(bboxes=zeros(1, 4), scores=ones(1), labels=zeros(1).long()), "pred_instances")
        return data_samples


def test_unreadable_images_are_listed_and_the_others_predicted_on(tmp_path: Path) -> None:
    names = ["cam1/1.png", "cam1/2.png", "cam2/1.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 7)).save(tmp_path / name)
    (tmp_path / names[1]).write_bytes((tmp_path / names[1]).read_bytes()[:20])
    paths = [str(tmp_path / name) for name in names]
    listing = [dict(img_path=path, rel_path=name) for path, name in zip(paths, names, strict=True)]
    (tmp_path / "images.json").write_text(json.dumps(listing))
    pipeline = [
        dict(type="LoadImage"),
        dict(type="PackRegionInputs", meta_keys=("img_path", "ori_shape")),
    ]
    dataset = dict(
        type="PredictionImageDataset",
        source=str(tmp_path / "images.json"),
        metainfo=dict(classes=("boat",)),
        pipeline=pipeline,
    )
    cfg = dict(
        default_scope="densevlm_mm",
        experiment_name=f"prediction_{tmp_path.name}",
        work_dir=str(tmp_path / "work"),
        model=dict(type="FindsABoat"),
        test_dataloader=dict(batch_size=1, sampler=dict(type="DefaultSampler", shuffle=False), dataset=dataset),
        test_evaluator=dict(type="PredictionRecorder", out_dir=str(tmp_path / "out")),
        test_cfg=dict(type="PredictionLoop"),
        default_hooks=dict(checkpoint=None, names=dict(type="OutputNameHook")),
    )
    assert Runner.from_cfg(Config(cfg)).test() == {"predictions/num_images": 2, "predictions/num_skipped": 1}
    records = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [record["img_path"] for record in records] == [paths[0], paths[2]]
    assert {entry["name"] for record in records for entry in record["detections"]} == {"boat"}
    (skipped,) = json.loads((tmp_path / "out/skipped.json").read_text())
    assert skipped["img_path"] == paths[1]
    assert "not a complete image" in skipped["reason"]
