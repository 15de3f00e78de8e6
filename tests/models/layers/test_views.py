import pytest
import torch

from densevlm_mm.models.layers import check_view, cut_views, has_view, view_box


def test_the_view_of_a_640_x_480_image_on_a_512_canvas_by_hand() -> None:
    # Resized to 512 x 384; the centred square of 384 begins 64 pixels from the left, and ends where the padding begins.
    assert view_box((384, 512), (512, 512)).tolist() == [64 / 512, 0, 448 / 512, 384 / 512]
    assert view_box((384, 512), (512, 512), "whole").tolist() == [0, 0, 1, 384 / 512]
    assert view_box((512, 384), (512, 512)).tolist() == [0, 64 / 512, 384 / 512, 448 / 512]
    assert view_box((512, 511), (512, 512)).tolist() == pytest.approx([0, 0.5 / 512, 511 / 512, 511.5 / 512])


@pytest.mark.parametrize("view", ["centre", "whole"])
def test_a_view_lies_in_the_image_area_and_a_narrow_one_has_none(view: str) -> None:
    for shape in ((384, 512), (512, 37), (16, 512), (512, 512)):
        x1, y1, x2, y2 = (512 * view_box(shape, (512, 512), view, 16)).tolist()
        assert 0 <= x1 < x2 <= shape[1]
        assert 0 <= y1 < y2 <= shape[0]
    boxes = torch.stack([view_box(shape, (512, 512), view, 16) for shape in ((16, 512), (15, 512), (512, 15))])
    assert has_view(boxes).tolist() == [True, False, False]


def test_views_are_cut_at_one_size_from_their_boxes() -> None:
    torch.manual_seed(0)
    images = torch.randn(3, 3, 32, 32)
    boxes = torch.tensor([[0.25, 0, 0.75, 0.5], [0, 0, 1, 1], [0, 0, 0, 0]])
    views = cut_views(images, boxes, 16)
    assert views.shape == (3, 3, 16, 16)
    torch.testing.assert_close(views[0], images[0, :, :16, 8:24])  # a pixel for a pixel
    torch.testing.assert_close(views[1], torch.nn.functional.avg_pool2d(images[1], 2))  # scaled down: an average
    assert views[2].abs().max() == 0
    assert cut_views(images, boxes, (8, 16)).shape == (3, 3, 8, 16)


def test_an_unknown_view_is_named() -> None:
    with pytest.raises(ValueError, match="'middle'"):
        check_view("middle")
