import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from densevlm_mm.structures import RegionDataSample
from densevlm_mm.visualization import draw_region_predictions


def sample(predicted: tuple[int, int]) -> RegionDataSample:
    """A thing and a stuff region in the upper half of a padded canvas."""
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[:, :4] = True
    scores = torch.zeros(2, 3)
    scores[torch.arange(2), torch.tensor(predicted)] = 1
    data = RegionDataSample(metainfo=dict(img_shape=(32, 64), pad_shape=(64, 64)))
    data.gt_regions = InstanceData(
        labels=torch.tensor([0, 2]),
        is_thing=torch.tensor([True, False]),
        boxes_norm_xyxy=torch.tensor([[0.25, 0.125, 0.75, 0.375], [0.0, 0.0, 1.0, 0.5]]),
        masks=masks,
    )
    data.pred_regions = InstanceData(box_scores=scores, mask_scores=scores)
    return data


def count(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture.astype(int) - colour).max(axis=-1) < 8).sum())


BLUE, VERMILION = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)


@pytest.mark.parametrize(
    ("predicted", "right", "wrong"), [((0, 2), True, False), ((1, 1), False, True), ((0, 1), True, True)]
)
def test_colours_say_right_and_wrong(predicted, right, wrong) -> None:
    picture = draw_region_predictions(
        np.zeros((20, 40, 3), np.uint8), sample(predicted), ["kite", "ball", "sea"], size=400
    )
    assert picture.shape == (200, 400, 3)
    assert picture.dtype == np.uint8
    assert (count(picture, BLUE) > 50) == right
    assert (count(picture, VERMILION) > 50) == wrong


def test_box_lies_where_the_region_is_in_the_unpadded_image() -> None:
    picture = draw_region_predictions(
        np.zeros((20, 40, 3), np.uint8), sample((0, 2)), ["kite", "ball", "sea"], size=400
    )
    left_edge = picture[80:120, 98:103].astype(int)  # x = .25 * 400, y within .125 .. .375 of the 400-pixel canvas
    assert (np.abs(left_edge - BLUE).max(axis=-1) < 8).any(axis=1).mean() > 0.7  # a label may cross it


@pytest.mark.parametrize(
    "names", [["price $x_{2$", "$", "sea"], ["自行车", "公交车", "海"], ["x" * 300, "a\nb", "50 %"]]
)
def test_names_are_text_in_whatever_script(names: list[str]) -> None:
    image = np.zeros((20, 40, 3), np.uint8)
    one, other = (draw_region_predictions(image, sample((label, 2)), names, size=400) for label in (0, 1))
    assert not np.array_equal(one, other)
