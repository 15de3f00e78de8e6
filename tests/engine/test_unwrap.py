from mmengine.model import BaseModel, BaseTTAModel, is_model_wrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

from densevlm_mm.engine.unwrap import unwrap_model


class Model(BaseModel):
    def forward(self, inputs, data_samples=None, mode="tensor"):
        return inputs


class TTAModel(BaseTTAModel):
    def merge_preds(self, data_samples_list):
        return data_samples_list


class Wrapper(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def test_wrappers_and_augmentation_are_taken_off(monkeypatch) -> None:
    monkeypatch.setitem(MODEL_WRAPPERS.module_dict, "Wrapper", Wrapper)
    model = Model()
    assert is_model_wrapper(Wrapper(model))
    for wrapped in (model, Wrapper(model), TTAModel(module=model), Wrapper(TTAModel(module=model))):
        assert unwrap_model(wrapped) is model
