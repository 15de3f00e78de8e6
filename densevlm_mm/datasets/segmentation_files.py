"""Checks of a segmentation data set's folders, with errors that say which one is missing."""

from typing import Protocol

from densevlm_mm.datasets.annotation_files import require_existing


class SegmentationFiles(Protocol):
    """What is checked of mmseg's ``BaseSegDataset``."""

    data_prefix: dict
    ann_file: str
    backend_args: dict | None


def check_segmentation_files(dataset: SegmentationFiles) -> None:
    """Check that the folders of images and labels and the list of images are there.

    Args:
        dataset: an mmseg data set, its prefixes joined with the root.

    Raises:
        FileNotFoundError: one is not.
    """
    for key, what in (("img_path", "image folder"), ("seg_map_path", "label folder")):
        if dataset.data_prefix.get(key):
            require_existing(dataset.data_prefix[key], what, dataset.backend_args)
    if dataset.ann_file:
        require_existing(dataset.ann_file, "list of images", dataset.backend_args)
