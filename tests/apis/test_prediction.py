import json
import os
from pathlib import Path

import pytest
from mmengine.config import Config

from densevlm_mm.apis import predict_on_images

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cfg() -> Config:
    return Config.fromfile(str(ROOT / "configs/tiny/fvit_original.py"))


def listed(cfg: Config) -> tuple[list[str], str]:
    listing = json.loads(Path(cfg.test_dataloader.dataset.source).read_text())
    return [os.path.relpath(path, listing["root"]) for path in listing["images"]], listing["root"]


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_images_take_the_place_of_the_data_set(cfg: Config, tmp_path: Path) -> None:
    make(tmp_path, "folder/b.JPG", "folder/deep/a.png", "folder/notes.txt", "c.jpeg")
    items = [str(tmp_path / "c.jpeg"), str(tmp_path / "folder"), str(tmp_path / "folder/b.JPG")]  # one of them twice
    predict_on_images(cfg, items, str(tmp_path / "out"), 0.5)
    assert listed(cfg) == (["c.jpeg", "folder/b.JPG", "folder/deep/a.png"], str(tmp_path))
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


def test_one_folder_names_its_images_by_the_path_below_it(cfg: Config, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "day/cam1/1.jpg", "day/cam2/1.jpg", "day/out/pictures/old.jpg")
    predict_on_images(cfg, ["day"], "day/out")  # in which its own results are no images
    assert listed(cfg) == (["cam1/1.jpg", "cam2/1.jpg"], "day")


def test_files_of_one_name_keep_their_folders(cfg: Config, tmp_path: Path) -> None:
    make(tmp_path, "a/x/1.jpg", "b/x/1.jpg")
    predict_on_images(cfg, [str(tmp_path / "a/x/1.jpg"), str(tmp_path / "b/x")], str(tmp_path / "out"))
    assert listed(cfg) == (["a/x/1.jpg", "b/x/1.jpg"], str(tmp_path))


def test_what_only_looks_like_an_image_in_a_folder(cfg: Config, tmp_path: Path) -> None:
    make(tmp_path, "dir.jpg/a.png")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to("nowhere")
    (tmp_path / "._a.png").write_bytes(b"\0\5\26\7")
    predict_on_images(cfg, [str(tmp_path)], str(tmp_path / "out"))
    assert listed(cfg)[0] == ["._a.png", "dir.jpg/a.png", "link.jpg"]  # of which two will be listed as unreadable


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
