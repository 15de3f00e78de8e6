import numpy as np
import pytest
import torch

from densevlm_mm.datasets import RegionDataSample
from densevlm_mm.datasets.transforms import PackRegionInputs


def results(**kwargs):
    img = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    meta = dict(
        img_id=1, img_path="a", sample_idx=0, ori_shape=(4, 5), img_shape=(6, 8), pad_shape=(8, 8), scale_factor=(1, 1)
    )
    return dict(img=img, **meta, **kwargs)


def test_image_is_planar_bgr_uint8():
    packed = results()
    inputs = PackRegionInputs()(packed)["inputs"]
    assert inputs.dtype == torch.uint8
    assert inputs.is_contiguous()
    np.testing.assert_array_equal(inputs.numpy(), packed["img"].transpose(2, 0, 1))


def test_image_of_any_memory_layout_is_packed():
    packed = results()
    expected = packed["img"][:, ::-1].transpose(2, 0, 1)
    packed["img"] = packed["img"][:, ::-1]
    np.testing.assert_array_equal(PackRegionInputs()(packed)["inputs"].numpy(), expected)


def test_regions_and_meta_information_are_packed():
    regions = dict(boxes_norm_xyxy=np.zeros((3, 4), np.float32), cell_ids=np.arange(3))
    gt_regions = dict(
        labels=np.zeros(0, np.int64),
        is_thing=np.zeros(0, bool),
        boxes_norm_xyxy=np.zeros((0, 4), np.float32),
        masks=np.zeros((0, 2, 2), bool),
    )
    annotated = results(regions=regions, gt_regions=gt_regions, segment_map=np.full((2, 2), -1))
    sample = PackRegionInputs()(annotated)["data_samples"]
    assert torch.equal(sample.segment_map, torch.full((2, 2), -1))
    assert isinstance(sample, RegionDataSample)
    assert sample.regions.cell_ids.dtype == torch.int64
    assert len(sample.regions) == 3
    assert sample.gt_regions.masks.shape == (0, 2, 2)
    assert sample.gt_regions.is_thing.dtype == torch.bool
    assert set(sample.metainfo_keys()) == set(results()) - {"img"}


def test_what_is_missing_is_named():
    incomplete = results()
    del incomplete["pad_shape"]
    with pytest.raises(KeyError, match=r"misses \['pad_shape'\]"):
        PackRegionInputs()(incomplete)
    assert PackRegionInputs(meta_keys=["img_id"])(dict(img=incomplete["img"], img_id=3))["data_samples"].img_id == 3
