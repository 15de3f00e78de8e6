from pathlib import Path
from types import SimpleNamespace

import pytest

from densevlm_mm.datasets.segmentation_files import check_segmentation_files


def test_images_without_labels_are_enough_and_what_is_named_must_exist(tmp_path: Path) -> None:
    dataset = SimpleNamespace(data_prefix=dict(img_path=str(tmp_path)), ann_file="", backend_args=None)
    check_segmentation_files(dataset)
    dataset.ann_file = str(tmp_path / "val.txt")
    with pytest.raises(FileNotFoundError, match=r"list of images .*val\.txt does not exist"):
        check_segmentation_files(dataset)
