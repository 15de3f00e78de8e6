import json
from pathlib import Path

import pytest
from mmengine.config import Config

from densevlm_mm.apis import predict_on_images

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cfg() -> Config:
    return Config.fromfile(str(ROOT / "configs/tiny/fvit_original.py"))


def listed(cfg: Config) -> list[str]:
    listing = json.loads(Path(cfg.test_dataloader.dataset.source).read_text())
    assert all(Path(image["img_path"]).is_absolute() for image in listing)  # as they are given here
    return [image["rel_path"] for image in listing]


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_images_take_the_place_of_the_data_set(cfg: Config, tmp_path: Path) -> None:
    make(tmp_path, "folder/b.JPG", "folder/deep/a.png", "folder/notes.txt", "c.jpeg")
    predict_on_images(cfg, [str(tmp_path / "c.jpeg"), str(tmp_path / "folder")], str(tmp_path / "out"), 0.5)
    assert listed(cfg) == ["c.jpeg", "folder/b.JPG", "folder/deep/a.png"]
    loader = cfg.test_dataloader
    assert loader.batch_size == 1  # photographs have different sizes
    steps = [step["type"].rpartition(".")[2] for step in loader.dataset.pipeline]
    assert steps == ["LoadImage", "Resize", "PackDetInputs"]
    assert cfg.test_evaluator == dict(
        type="densevlm_mm.PredictionRecorder", out_dir=str(tmp_path / "out"), score_thr=0.5
    )
    assert cfg.default_hooks.visualization.score_thr == 0.5  # the list and the pictures show the same
    assert cfg.default_hooks.visualization.test_out_dir == str(tmp_path / "out/pictures")
    assert loader.dataset.metainfo["classes"][:2] == ("boat", "surfboard")


def test_wrong_arguments_are_named(cfg: Config, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        predict_on_images(cfg, ["nowhere.jpg"], out)
    with pytest.raises(ValueError, match="no image in"):
        predict_on_images(cfg, [str(tmp_path)], out)
    with pytest.raises(ValueError, match="no detector's or segmentor's config"):
        predict_on_images(Config(dict(default_scope="densevlm_mm")), [str(tmp_path)], out)
    for wrong in (1.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match="score threshold"):
            predict_on_images(cfg, [str(tmp_path)], out, wrong)
    assert not Path(out).exists()
