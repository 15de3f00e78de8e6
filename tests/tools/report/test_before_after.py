from pathlib import Path

import cv2
import numpy as np

from report.before_after import stack_before_after


def test_the_same_images_stand_above_each_other(tmp_path: Path) -> None:
    for folder, value in (("before", 50), ("after", 150)):
        (tmp_path / folder).mkdir()
        for name in ("1.png", "2.png", "3.png"):
            cv2.imwrite(str(tmp_path / folder / name), np.full((10, 20, 3), value, np.uint8))
    stack_before_after(tmp_path / "out.png", tmp_path / "before", tmp_path / "after", per_row=2)
    picture = cv2.imread(str(tmp_path / "out.png"))
    assert picture.shape == (4 * (44 + 10), 2 * (20 + 8), 3)  # two rows of images, each before and after
    assert (picture[44:54, 4:24] == 50).all()
    assert (picture[98:108, 4:24] == 150).all()
    assert (picture[152:162, 32:52] == 255).all()  # the second row has one image
