from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

import densevlm_mm  # noqa: F401
from densevlm_mm.models.mean_score_tta import MeanScoreTTAModel


def view(scores: Any = None, **metainfo: Any) -> SegDataSample:
    fields = {} if scores is None else dict(seg_logits=PixelData(data=torch.tensor(scores)))
    sample = SegDataSample(metainfo=dict(img_path="a.jpg", vocabulary_classes=("x", "y")) | metainfo)
    sample.set_data(fields)
    return sample


class Segmentor(BaseModel):
    """Anything with the methods of a model."""

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = "tensor") -> Any:
        return data_samples


def merge(*images: list[SegDataSample]) -> list[SegDataSample]:
    return MeanScoreTTAModel(module=Segmentor()).merge_preds(list(images))


def test_scores_are_averaged_as_they_are() -> None:
    # Means of their softmax would decide for the second class, which is ahead in two of three views.
    views = [view([[[10.0]], [[0.0]]]), view([[[1.0]], [[4.0]]]), view([[[1.0]], [[5.0]]])]
    views[0].gt_sem_seg = PixelData(data=torch.ones(1, 1, 1))
    (merged,) = merge(views)
    assert merged.seg_logits.data.flatten().tolist() == [4.0, 3.0]
    assert merged.pred_sem_seg.data.tolist() == [[[0]]]
    assert merged.metainfo["vocabulary_classes"] == ("x", "y")
    assert merged.gt_sem_seg.data.item() == 1


def test_images_are_merged_apart() -> None:
    merged = merge([view([[[1.0]], [[0.0]]])], [view([[[0.0]], [[1.0]]])])
    assert [sample.pred_sem_seg.data.item() for sample in merged] == [0, 1]


def test_segmentor_without_scores_or_at_other_sizes_is_refused() -> None:
    with pytest.raises(ValueError, match="needs seg_logits"):
        merge([view([[[1.0]]]), view()])
    with pytest.raises(ValueError, match="views have scores of sizes"):
        merge([view([[[1.0]]]), view([[[1.0, 2.0]]])])
