import gc

from mmengine.config import Config, config
from yapf.yapflib.yapf_api import FormatCode

from densevlm_mm.compat.config_texts import remember_config_texts


def read(scale: float = 1.0) -> Config:
    return Config(dict(model=dict(type="Model", scale=scale, sizes=[(1, 2), (3, 4)]), work_dir=f"runs/{scale}"))


def test_a_text_is_formatted_once(monkeypatch) -> None:
    seen: list[str] = []

    def count(text: str, **options) -> tuple:
        seen.append(text)
        return FormatCode(text, **options)

    monkeypatch.setattr(config, "FormatCode", count)
    expected = read().pretty_text
    remember_config_texts()
    remember_config_texts()
    assert [read().pretty_text for _ in range(3)] == [expected] * 3
    assert len(seen) == 2  # one without and one with the memory


def test_a_changed_config_has_another_text() -> None:
    cfg = read()
    first = cfg.pretty_text
    cfg.model.scale = 2.0
    assert "scale=2.0" in cfg.pretty_text
    cfg.model.scale = 1.0
    assert cfg.pretty_text == first


def test_a_text_that_is_known_leaves_nothing_to_collect() -> None:
    cfg = read()
    cfg.pretty_text  # noqa: B018  (a property that works)
    gc.collect()
    cfg.pretty_text  # noqa: B018
    assert gc.collect() < 100  # yapf leaves thousands
