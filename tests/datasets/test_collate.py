import pytest
import torch
from mmengine.registry import FUNCTIONS

from densevlm_mm.datasets import skip_none_collate


def test_skipped_samples_leave_the_batch():
    batch = skip_none_collate([None, dict(inputs=torch.ones(1), data_samples="a"), None])
    assert len(batch["inputs"]) == 1
    assert batch["data_samples"] == ["a"]


def test_batch_of_skipped_samples_is_an_error():
    with pytest.raises(ValueError, match="all 2 images of a batch were skipped"):
        skip_none_collate([None, None])


def test_found_by_name_in_a_config():
    assert FUNCTIONS.get("skip_none_collate") is skip_none_collate
