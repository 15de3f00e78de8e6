from pathlib import Path

import pytest
from mmengine.config import Config

from densevlm_mm.apis import predict_on_images

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cfg() -> Config:
    return Config.fromfile(str(ROOT / "configs/tiny/fvit_original.py"))


def test_images_take_the_place_of_the_data_set(cfg, tmp_path) -> None:
    for name in ("folder/b.JPG", "folder/deep/a.png", "folder/notes.txt", "c.jpeg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    predict_on_images(cfg, [str(tmp_path / "c.jpeg"), str(tmp_path / "folder")], str(tmp_path / "out"), 0.5)
    dataset = cfg.test_dataloader.dataset
    listed = Path(dataset.source).read_text().split()
    assert [Path(path).name for path in listed] == ["c.jpeg", "b.JPG", "a.png"]
    assert [step["type"] for step in dataset.pipeline] == ["densevlm_mm.LoadImage", "Resize", "PackDetInputs"]
    assert cfg.test_evaluator.type == "densevlm_mm.PredictionRecorder"
    assert cfg.default_hooks.visualization.draw
    assert cfg.default_hooks.visualization.score_thr == 0.5


def test_wrong_images_are_named(cfg, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        predict_on_images(cfg, ["nowhere.jpg"], str(tmp_path / "out"))
    with pytest.raises(ValueError, match="no image in"):
        predict_on_images(cfg, [str(tmp_path)], str(tmp_path / "out"))
    with pytest.raises(ValueError, match="no detector's or segmentor's config"):
        predict_on_images(Config(dict(default_scope="densevlm_mm")), [str(tmp_path)], str(tmp_path / "out"))
