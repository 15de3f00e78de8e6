from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample

import densevlm_mm.segmentation  # noqa: F401
from densevlm_mm.visualization import legend_panel, seg_legend, segments
from densevlm_mm.visualization.distinct_colours import distinct_colours
from densevlm_mm.visualization.seg_legend import LegendSegVisualizer
from densevlm_mm.visualization.segments import LabelledMap, draw_segmentation

IMAGE = np.full((64, 64, 3), 100, dtype=np.uint8)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[legend_panel.LegendEntry]:
    """The entries of the legend that is drawn."""
    entries: list[legend_panel.LegendEntry] = []

    def spy(new: Any, titles: Any, height: int, scale: float) -> np.ndarray:
        entries[:] = new
        return legend_panel.draw_legend(new, titles, height, scale)

    monkeypatch.setattr(segments, "draw_legend", spy)
    return entries


def halves(left: int, right: int) -> np.ndarray:
    labels = np.full((64, 64), left)
    labels[:, 48:] = right
    return labels


def test_small_image_is_enlarged_and_overlaid(listed: list) -> None:
    picture = draw_segmentation(IMAGE, [LabelledMap("prediction", halves(1, 255), ("sky", "sea"))], alpha=0.5)
    assert picture.shape[0] == 512 + legend_panel.TITLE_HEIGHT
    top = legend_panel.TITLE_HEIGHT
    assert picture[top + 5, 5].tolist() == [100] * 3  # the image itself
    left, right = picture[top + 5, 516 + 5], picture[top + 5, 516 + 500]
    assert np.abs(left - (100 + distinct_colours(24)[1].astype(float)) / 2).max() <= 1
    assert right.tolist() == [100] * 3  # ignored pixels have no colour
    assert [(entry.name, entry.shares.tolist()) for entry in listed] == [("sea", [0.75])]


def test_large_image_keeps_its_size() -> None:
    image = np.zeros((600, 300, 3), np.uint8)
    picture = draw_segmentation(image, [LabelledMap("prediction", np.zeros((600, 300), int), ("sky",))])
    assert picture.shape[0] == 600 + legend_panel.TITLE_HEIGHT


def test_maps_over_other_vocabularies_meet_by_name(listed: list) -> None:
    truth = LabelledMap("ground truth", halves(0, 1), ("sky ", "sea"))
    draw_segmentation(IMAGE, [truth, LabelledMap("prediction", halves(2, 0), ("kite", "cup", "Sky"))])
    assert [(entry.name, entry.shares.tolist()) for entry in listed] == [
        ("Sky", [0.75, 0.75]),
        ("sea", [0.25, 0.0]),
        ("kite", [0.0, 0.25]),
    ]


def test_lists_of_one_length_are_the_same_classes_under_the_names_of_the_prediction(listed: list) -> None:
    truth = LabelledMap("ground truth", halves(0, 1), ("windowpane", "sea"))
    draw_segmentation(IMAGE, [truth, LabelledMap("prediction", halves(0, 1), ("window ", "sea, ocean"))])
    assert [(entry.name, entry.shares.tolist()) for entry in listed] == [
        ("window", [0.75, 0.75]),
        ("sea, ocean", [0.25, 0.25]),
    ]


def test_map_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="prediction is 3 x 2, the image 64 x 64"):
        draw_segmentation(IMAGE, [LabelledMap("prediction", np.zeros((3, 2), int), ("sky",))])


def sample(**fields: Any) -> SegDataSample:
    return SegDataSample(**{key: PixelData(data=torch.from_numpy(value)[None]) for key, value in fields.items()})


def visualizer(tmp_path: Path) -> LegendSegVisualizer:
    init_default_scope("mmseg")
    backends = [dict(type="LocalVisBackend")]
    cfg = dict(type="LegendSegVisualizer", name=str(tmp_path), vis_backends=backends, save_dir=str(tmp_path))
    built = VISUALIZERS.build(cfg)
    built.dataset_meta = dict(classes=("sky", "sea"), palette=[[0, 0, 0]] * 2)
    return built


def test_pictures_go_where_mmsegs_go(tmp_path: Path, listed: list) -> None:
    drawn = sample(gt_sem_seg=halves(0, 255), pred_sem_seg=halves(2, 1))
    drawn.set_metainfo(dict(vocabulary_classes=("kite", "sea", "sky")))
    built = visualizer(tmp_path)
    built.add_datasample("test_a.jpg", IMAGE, drawn, step=3)
    assert [(entry.name, entry.shares.tolist()) for entry in listed] == [("sky", [0.75, 0.75]), ("sea", [0.0, 0.25])]
    (stored,) = tmp_path.rglob("*.png")
    assert stored.name == "test_a.jpg_3.png"
    built.add_datasample("a", IMAGE, drawn, draw_gt=False, out_file=str(tmp_path / "out.png"))
    assert (cv2.imread(str(tmp_path / "out.png"))[..., ::-1] == built.get_image()).all()


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither gt_sem_seg nor pred_sem_seg"):
        visualizer(tmp_path).add_datasample("a", IMAGE, sample())


def test_other_processes_write_their_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seg_legend, "is_main_process", lambda: False)
    built = visualizer(tmp_path)
    built.add_datasample("test_b.jpg", IMAGE, sample(pred_sem_seg=halves(0, 1)))
    assert [path.name for path in tmp_path.rglob("*.png")] == ["test_b.jpg_0.png"]
