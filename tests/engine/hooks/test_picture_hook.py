from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mmcv.transforms
import mmengine.dist.utils
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import Compose
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from mmseg.structures import SegDataSample
from PIL import Image

import densevlm_mm  # noqa: F401
from densevlm_mm.datasets.transforms import LoadImage
from densevlm_mm.engine.hooks import RegionVisualizationHook
from densevlm_mm.engine.hooks.det_visualization import NamedDetVisualizationHook
from densevlm_mm.engine.hooks.picture_hook import PictureHook, read_drawn_image
from densevlm_mm.engine.hooks.seg_visualization import LegendSegVisualizationHook
from densevlm_mm.structures import RegionDataSample
from densevlm_mm.visualization.open_vocabulary_boxes import OpenVocabularyDetVisualizer
from densevlm_mm.visualization.seg_legend import LegendSegVisualizer

META = dict(classes=("boat", "sky"), is_thing=(True, False))


@pytest.fixture(params=["main process", "another process"])
def process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """mmengine's visualizers do nothing in other processes than the main one."""
    if request.param != "main process":
        monkeypatch.setattr(mmengine.dist.utils, "is_main_process", lambda group=None: False)
    return request.param


@pytest.fixture
def images(tmp_path: Path) -> list[dict[str, Any]]:
    """Two images with one file name."""
    infos = []
    for folder in ("cam1", "cam2"):
        path = tmp_path / folder / "1.jpg"
        path.parent.mkdir()
        Image.new("RGB", (48, 32), (200, 10, 30)).save(path)
        infos.append(dict(img_path=str(path), ori_shape=(32, 48), output_name=f"{folder}/1"))
    return infos


def runner_with(visualizer: Any, tmp_path: Path) -> SimpleNamespace:
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=META))
    visualizer.dataset_meta = META  # as the loop does, in every process
    return SimpleNamespace(visualizer=visualizer, test_dataloader=loader, log_dir=str(tmp_path / "log"))


def written(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_detections(process: str, images: list[dict], tmp_path: Path) -> None:
    boxes = InstanceData(
        bboxes=torch.tensor([[4.0, 4.0, 40.0, 30.0]]), scores=torch.tensor([0.9]), labels=torch.tensor([0])
    )
    samples = [DetDataSample(metainfo=info, pred_instances=boxes) for info in images]
    OpenVocabularyDetVisualizer.get_instance(f"det {process}")  # which mmdet's hook looks for
    hook = NamedDetVisualizationHook(draw=True, test_out_dir=str(tmp_path / "shown"))
    hook.after_test_iter(runner_with(OpenVocabularyDetVisualizer(min_size=64), tmp_path), 0, {}, samples)
    assert written(tmp_path / "shown") == ["cam1/1.jpg", "cam2/1.jpg"]
    picture = np.asarray(Image.open(tmp_path / "shown/cam2/1.jpg")).astype(int)
    assert (np.abs(picture - (0, 114, 178)).max(axis=2) < 60).any()  # the box, whatever the process


def test_segmentations(process: str, images: list[dict], tmp_path: Path) -> None:
    labels = PixelData(data=torch.zeros(1, 32, 48, dtype=torch.long))
    samples = []
    for info in images:
        samples.append(SegDataSample(metainfo=info | dict(vocabulary_classes=("sea", "sky"))))
        samples[-1].set_data(dict(pred_sem_seg=labels, gt_sem_seg=labels))
    hook = LegendSegVisualizationHook(draw=True, test_out_dir=str(tmp_path / "shown"))
    hook.after_test_iter(runner_with(LegendSegVisualizer(), tmp_path), 0, {}, samples)
    assert written(tmp_path / "shown") == ["cam1/1.png", "cam2/1.png"]
    _, truth, prediction, _ = np.split(np.asarray(Image.open(tmp_path / "shown/cam1/1.png")), [516, 1032, 1548], axis=1)
    assert (truth[100:300, :500] == prediction[100:300, :500]).all()  # both coloured, the truth by the data set's names


def test_regions_and_the_folder_without_one_given(process: str, images: list[dict], tmp_path: Path) -> None:
    sample = RegionDataSample(metainfo=images[0] | dict(img_shape=(32, 48), pad_shape=(48, 48)))
    boxes = torch.tensor([[0.0, 0.0, 1.0, 0.5]])
    sample.gt_regions = InstanceData(
        labels=torch.tensor([0]), is_thing=torch.tensor([True]), boxes_norm_xyxy=boxes, masks=torch.ones(1, 6, 6).bool()
    )
    sample.pred_regions = InstanceData(box_scores=torch.eye(2)[:1], mask_scores=torch.eye(2)[:1])
    hook = RegionVisualizationHook(draw=True, max_images=2)
    for _ in range(3):
        hook.after_test_iter(runner_with(SimpleNamespace(), tmp_path), 0, {}, [sample])
    assert written(tmp_path / "log") == ["pictures/cam1/1.png"]


class Stub(PictureHook):
    def draw_test_picture(self, runner: Any, image: np.ndarray, sample: Any, out_file: str, **options: Any) -> None:
        if sample.get("fails", False):
            raise ValueError("cannot be drawn")
        Image.fromarray(np.ascontiguousarray(image)).save(out_file)


def test_nothing_is_drawn_unless_switched_on(images: list[dict], tmp_path: Path) -> None:
    runner = SimpleNamespace(log_dir=str(tmp_path / "log"))
    Stub().after_test_iter(runner, 0, {}, [DetDataSample(metainfo=images[0])])
    assert written(tmp_path / "log") == []


def test_pictures_are_in_rgb_and_whole_or_absent(images: list[dict], tmp_path: Path) -> None:
    runner = runner_with(SimpleNamespace(), tmp_path)
    good, bad = (DetDataSample(metainfo=info) for info in images)
    bad.set_metainfo(dict(fails=True))
    with pytest.raises(ValueError, match="cannot be drawn"):
        Stub(draw=True).after_test_iter(runner, 0, {}, [good, bad])
    assert written(tmp_path / "log") == ["pictures/cam1/1.png"]
    assert np.asarray(Image.open(tmp_path / "log/pictures/cam1/1.png"))[0, 0].tolist() == [199, 10, 30]


def dataset_with(loader: Any) -> SimpleNamespace:
    return SimpleNamespace(dataset=SimpleNamespace(pipeline=Compose([loader])))  # as in a wrapper


def test_an_image_is_read_in_the_frame_that_the_model_saw(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn
    Image.new("RGB", (48, 32)).save(tmp_path / "turned.jpg", exif=exif)
    sample = DetDataSample(metainfo=dict(img_path=str(tmp_path / "turned.jpg")))
    for shape in ((48, 32), (32, 48)):
        sample.set_metainfo(dict(ori_shape=shape))
        assert read_drawn_image(sample, dataset_with(dict(type="LoadImage"))).shape == (*shape, 3)
    stored = mmcv.transforms.LoadImageFromFile(color_type="color_ignore_orientation")
    assert read_drawn_image(sample, dataset_with(stored)).shape == (32, 48, 3)
    sample.set_metainfo(dict(ori_shape=(48, 32)))
    with pytest.raises(ValueError, match=r"turned\.jpg is \(32, 48\) .* but was \(48, 32\)"):
        read_drawn_image(sample, dataset_with(stored))


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("size", [(48, 32), (32, 32)])
def test_an_image_without_annotations_is_drawn_as_it_was_shown_to_the_model(tmp_path, orientation, size) -> None:
    """Of most the size does not tell the frames apart."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    seen = LoadImage().transform(dict(img_path=str(tmp_path / "turned.png")))
    sample = BaseDataElement(metainfo=dict(img_path=str(tmp_path / "turned.png"), ori_shape=seen["ori_shape"]))
    drawn = read_drawn_image(sample, dataset_with(dict(type="LoadImage")))
    np.testing.assert_array_equal(drawn, seen["img"][..., ::-1])
