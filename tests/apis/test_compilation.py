import pytest
from mmengine.config import Config

from densevlm_mm.apis.compilation import compile_encoders

MODEL = dict(type="FViT", backbone=dict(type="DenseVLMBackbone", encoder=dict(type="densevlm_mm.DenseImageEncoder")))


@pytest.mark.parametrize(("value", "options"), [(True, {}), (dict(mode="max-autotune"), dict(mode="max-autotune"))])
def test_the_key_of_mmengine_compiles_encoders(value, options) -> None:
    cfg = Config(dict(model=MODEL, compile=value, custom_hooks=[dict(type="EmptyCacheHook")]))
    compile_encoders(cfg)
    assert cfg.compile is False
    assert cfg.custom_hooks == [dict(type="EmptyCacheHook"), dict(type="densevlm_mm.CompileHook", options=options)]


@pytest.mark.parametrize("content", [dict(model=MODEL), dict(model=MODEL, compile=False), dict(model={}, compile=True)])
def test_otherwise_the_config_stays_as_it_is(content) -> None:
    cfg = Config(content)
    compile_encoders(cfg)
    assert cfg.to_dict() == content


def test_another_value_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'inductor'"):
        compile_encoders(Config(dict(model=MODEL, compile="inductor")))
