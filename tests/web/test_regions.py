import numpy as np
import pytest

from densevlm_mm.web.regions import read_region


def test_points_and_boxes_are_read() -> None:
    point = read_region(" 12.5; 80 ", (100, 90))
    assert point.is_point
    np.testing.assert_array_equal(point.arguments()["points"], [[12.5, 80]])
    box = read_region("90 80, 20,30", (100, 90))  # the lower right corner first
    np.testing.assert_array_equal(box.arguments()["boxes"], [[20, 30, 90, 80]])
    assert str(box) == "20, 30, 90, 80"
    assert read_region(str(box), (100, 90)) == box


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("", "two numbers"),
        ("the boat", "two numbers.*“the boat”"),
        ("1, 2, 3", "two numbers"),
        ("nan, 1", "two numbers"),
        ("1e999, 1", "two numbers"),
        ("-1, 5", "outside of the photograph, which is 100 pixels wide and 90 high"),
        ("5, 91", "outside"),
        ("10, 10, 101, 20", "outside"),
        ("10, 10, 10.5, 80", "smaller than a pixel"),
    ],
)
def test_what_is_wrong_with_a_region_is_said(typed: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_region(typed, (100, 90))
