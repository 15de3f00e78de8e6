import numpy as np
import pytest

from densevlm_mm.datasets.region_files import ImageRegions
from densevlm_mm.datasets.transforms import PadToSquare, ProposalRegions


def results_of(**kwargs):
    boxes = np.array([[0, 0, 40, 10], [20, 10, 80, 30]], np.float32)
    proposals = ImageRegions(boxes, np.array([0, 5]), None)
    return dict(proposals=proposals, ori_shape=(40, 80), img_shape=(32, 64), img_path="x.jpg", **kwargs)


def test_before_and_after_padding_are_the_same():
    padded = ProposalRegions()(results_of(pad_shape=(64, 64)))["regions"]
    results = ProposalRegions()(results_of(img=np.zeros((32, 64, 3), np.uint8)))
    later = PadToSquare(64)(results)["regions"]
    np.testing.assert_array_equal(padded["boxes_norm_xyxy"], later["boxes_norm_xyxy"])
    np.testing.assert_allclose(padded["boxes_norm_xyxy"], [[0, 0, 0.5, 0.125], [0.25, 0.125, 1, 0.375]])
    assert padded["cell_ids"].tolist() == [0, 5]
    assert "category_labels" not in padded


def test_at_most_max_regions_are_drawn_each_about_as_often():
    np.random.seed(0)
    drawn = [int(ProposalRegions(1)(results_of())["regions"]["cell_ids"][0]) for _ in range(200)]
    assert 70 < drawn.count(5) < 130
    assert drawn.count(0) == 200 - drawn.count(5)


def test_errors_name_the_fix():
    with pytest.raises(ValueError, match="max_regions"):
        ProposalRegions(0)
    with pytest.raises(KeyError, match="RegionProposalDataset"):
        ProposalRegions()(dict(img_shape=(1, 1)))
