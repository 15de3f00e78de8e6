import pickle

import pytest
import torch
from mmengine.structures import InstanceData

from densevlm_mm.datasets import RegionDataSample


def test_regions_are_reached_by_name_and_exported_without_underscore():
    sample = RegionDataSample(metainfo=dict(img_id=7))
    sample.gt_regions = InstanceData(labels=torch.tensor([1, 2]))
    sample.pred_regions = InstanceData(box_scores=torch.zeros(2, 3))
    exported = pickle.loads(pickle.dumps(sample)).to_dict()
    assert exported["img_id"] == 7
    assert exported["gt_regions"]["labels"].tolist() == [1, 2]
    assert exported["pred_regions"]["box_scores"].shape == (2, 3)
    del sample.pred_regions
    assert "pred_regions" not in sample


def test_regions_must_be_instance_data():
    with pytest.raises(AssertionError, match="InstanceData"):
        RegionDataSample().regions = {"boxes_norm_xyxy": torch.zeros(1, 4)}
