from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from densevlm_mm.visualization import open_vocabulary_boxes
from densevlm_mm.visualization.detected_regions import BASE_COLOUR, NOVEL_COLOUR
from densevlm_mm.visualization.named_regions import NamedRegion
from densevlm_mm.visualization.open_vocabulary_boxes import OpenVocabularyDetVisualizer


@pytest.fixture
def visualizer() -> OpenVocabularyDetVisualizer:
    visualizer = OpenVocabularyDetVisualizer(min_size=256)
    visualizer.dataset_meta = dict(classes=("car", "bus"), novel_classes=("bus",))
    return visualizer


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels that are drawn."""
    texts: list[str] = []

    def spy(image: np.ndarray, regions: list[NamedRegion], *_: object, **__: object) -> np.ndarray:
        texts.extend(region.text for region in regions)
        return image

    monkeypatch.setattr(open_vocabulary_boxes, "draw_named_regions", spy)
    return texts


def sample(with_masks: bool = False) -> DetDataSample:
    gt = InstanceData(bboxes=torch.tensor([[4.0, 4.0, 40.0, 30.0]]), labels=torch.tensor([1]))
    pred = InstanceData(
        bboxes=torch.tensor([[4.0, 4.0, 40.0, 30.0], [10.0, 34.0, 60.0, 60.0]]),
        scores=torch.tensor([0.9, 0.8]),
        labels=torch.tensor([0, 1]),
        label_names=["zebra", "moped"],
        is_novel=torch.tensor([True, False]),
    )
    if with_masks:
        gt.masks = BitmapMasks(np.ones((1, 64, 64), np.uint8), 64, 64)
        pred.masks = torch.ones(2, 64, 64, dtype=torch.bool)
    return DetDataSample(gt_instances=gt, pred_instances=pred)


def has_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture.astype(int) - colour).max(axis=2) < 40).any())


@pytest.mark.parametrize("with_masks", [False, True])
def test_small_images_are_enlarged_and_novel_boxes_have_their_own_colour(
    visualizer, with_masks, tmp_path: Path
) -> None:
    out = tmp_path / "picture.png"
    image = np.full((64, 64, 3), 255, np.uint8)
    visualizer.add_datasample("x", image, sample(with_masks), out_file=str(out))
    picture = cv2.imread(str(out))[..., ::-1]
    assert picture.shape == (256, 512, 3)
    truth, predicted = picture[:, :256], picture[:, 256:]
    if not with_masks:  # masks tint the colours
        assert has_colour(truth, NOVEL_COLOUR)
        assert not has_colour(truth, BASE_COLOUR)
        assert has_colour(predicted, NOVEL_COLOUR)
        assert has_colour(predicted, BASE_COLOUR)


def test_names_are_the_predictions_own_and_novel_ones_marked(visualizer, drawn) -> None:
    visualizer.add_datasample("x", np.zeros((300, 300, 3), np.uint8), sample())
    assert drawn == ["bus (novel)", "zebra (novel) 0.90", "moped 0.80"]


def test_image_without_annotations(visualizer, tmp_path: Path) -> None:
    """Mmdet puts an empty ``gt_instances``, without boxes, into the sample of an image that has none."""
    given = sample()
    given.gt_instances = InstanceData()
    visualizer.add_datasample("x", np.zeros((64, 64, 3), np.uint8), given, out_file=str(tmp_path / "a.png"))
    assert cv2.imread(str(tmp_path / "a.png")).shape == (256, 512, 3)


def test_image_without_detections(visualizer, tmp_path: Path) -> None:
    empty = DetDataSample(
        pred_instances=InstanceData(
            bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.long)
        )
    )
    visualizer.add_datasample(
        "x", np.zeros((64, 64, 3), np.uint8), empty, draw_gt=False, out_file=str(tmp_path / "a.png")
    )
    assert cv2.imread(str(tmp_path / "a.png")).shape == (256, 256, 3)


ODD_NAMES = ["price $x_{2$", "$", "50 % \\off^2 & more", "自行车", "公交车", "a_b{c}", "name\nof two lines", "x" * 300]


def test_names_are_text_in_whatever_script(visualizer: OpenVocabularyDetVisualizer, tmp_path: Path) -> None:
    pictures = []
    for name in ODD_NAMES:
        drawn = sample()
        drawn.pred_instances.label_names = [name, "boat"]
        out = tmp_path / f"{len(pictures)}.png"
        visualizer.add_datasample("x", np.full((300, 300, 3), 128, np.uint8), drawn, out_file=str(out))
        pictures.append(cv2.imread(str(out)).tobytes())
    assert len(set(pictures)) == len(ODD_NAMES)


def test_novel_classes_are_known_in_every_spelling(visualizer: OpenVocabularyDetVisualizer, drawn: list[str]) -> None:
    visualizer.dataset_meta = dict(classes=("car", "School_Bus"), novel_classes=("school bus",))
    visualizer.add_datasample("x", np.zeros((300, 300, 3), np.uint8), sample())
    assert drawn[0] == "School_Bus (novel)"
