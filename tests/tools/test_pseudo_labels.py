import runpy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData

from densevlm_mm.datasets import RegionDataSample

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> dict:
    return runpy.run_path(str(ROOT / "tools" / "pseudo_labels.py"))


def test_sure_regions_get_boxes_in_source_pixels(tool) -> None:
    # A 100 x 50 image, resized to 64 x 32 on a canvas of 64 x 64.
    regions = InstanceData(
        boxes_norm_xyxy=torch.tensor([[0.0, 0.0, 0.5, 0.25], [0.5, 0.0, 1.0, 0.5]]),
        teacher_logits=torch.tensor([[0.1, 0.3, 0.1], [0.2, 0.2, 0.2]]),
    )
    sample = RegionDataSample(regions=regions, metainfo=dict(pad_shape=(64, 64), scale_factor=(0.64, 0.64)))
    ((box, label, confidence),) = tool["named_regions"](sample, temperature=0.1, threshold=0.4)
    assert box == pytest.approx([0, 0, 50, 25], abs=0.01)
    assert label == 1
    e = torch.tensor([1.0, 3.0, 1.0]).exp()
    assert confidence == pytest.approx((e[1] / e.sum()).item(), rel=1e-5)


@pytest.mark.parametrize("name", ["tiny/clipself", "tiny/region_clip"])
def test_a_teacher_that_names_nothing_is_an_error(tool, name: str) -> None:
    cfg = Config.fromfile(str(ROOT / f"configs/{name}.py"))
    cfg.launcher = "none"
    with pytest.raises(ValueError, match=r"no hook of .*\.py names regions"):
        tool["prepare"](cfg, None)
