from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel, ImgDataPreprocessor
from torch import nn

from densevlm_mm.engine.hooks import NormalizationCheckHook
from densevlm_mm.models.encoders import DenseImageEncoder

CLIP = dict(mean=[122.771, 116.746, 104.094], std=[68.501, 66.632, 70.323])
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


class Detector(BaseModel):
    def __init__(self, encoder: nn.Module, **normalization: list[float]) -> None:
        super().__init__(data_preprocessor=ImgDataPreprocessor(**normalization, bgr_to_rgb=True))
        self.backbone = nn.ModuleDict(dict(encoder=encoder))

    def forward(self, inputs: torch.Tensor, mode: str = "tensor") -> torch.Tensor:
        return inputs


@pytest.mark.parametrize(
    ("mean", "normalization", "wrong"),
    [
        (None, CLIP, []),
        (None, IMAGENET, ["mean", "std"]),
        ((0.5, 0.5, 0.5), CLIP, ["mean"]),
        ((0.5, 0.5, 0.5), dict(mean=[127.5] * 3, std=CLIP["std"]), []),
        (None, {}, ["mean", "std"]),
    ],
)
def test_a_preprocessor_that_does_not_fit_the_weights_is_named(
    stock_model, capture_log, mean, normalization, wrong
) -> None:
    model = stock_model("vit")
    if mean is not None:
        model.visual.image_mean = mean
    detector = Detector(DenseImageEncoder(clip_model=model), **normalization)
    NormalizationCheckHook().before_run(SimpleNamespace(model=detector))
    assert len(capture_log()) == len(wrong)
    for key, message in zip(wrong, capture_log(), strict=True):
        assert message.startswith(f"model.data_preprocessor.{key} is ")
        assert "the weights of model.backbone.encoder were trained with" in message


def test_models_without_an_encoder_are_left_alone(capture_log) -> None:
    NormalizationCheckHook().before_run(SimpleNamespace(model=Detector(nn.Linear(3, 2))))
    assert capture_log() == []
