"""Base of segmentation data sets: files that belong together, labels that mean something.

Not imported by ``densevlm_mm.datasets``, since pretraining needs no mmseg.
"""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
from mmengine import fileio
from mmseg.datasets import BaseSegDataset

from densevlm_mm.datasets.annotations.image_names import join_image_path
from densevlm_mm.datasets.annotations.json_files import require_existing
from densevlm_mm.datasets.file_listing import missing_files, summarize
from densevlm_mm.datasets.image_files import read_file, read_header
from densevlm_mm.datasets.label_map_files import check_labels, check_shape, decode_label_map
from densevlm_mm.vocabulary.text_files import parse_lines


class CheckedLabelMaps(BaseSegDataset):
    """mmseg's data set of images and label maps, which must belong together.

    Load labels with :class:`~densevlm_mm.datasets.transforms.seg_labels.LoadSegLabels`, which checks every file when it
    is loaded: size, format and labels, of which this data set tells it the number and which is ignored.

    ``metainfo`` has ``ignore_index``, which the metric takes over.

    Args:
        allowed_roots: Folders that absolute names in ``ann_file``, and names with ``..``, may lead to.
        **kwargs: As in ``BaseSegDataset``.

    Raises:
        ValueError: If there is no image, an image has no label map, a name leads out of its folder, or the ignored
            label is that of a class.
        FileNotFoundError: If the folder of images or of labels, or the list of images, does not exist.
    """

    def __init__(self, allowed_roots: Sequence[str] = (), **kwargs: Any) -> None:
        self.allowed_roots = tuple(allowed_roots)
        super().__init__(**kwargs)
        self._metainfo["ignore_index"] = self.ignore_index

    def load_data_list(self) -> list[dict]:
        """List the images and their labels.

        Returns:
            As ``BaseSegDataset``, with ``ignore_index`` and ``num_labels``.
        """
        check_segmentation_files(self)
        if self.label_map is not None:  # mmseg writes 255 for the classes left out, whatever is ignored
            kept = set(self.metainfo["classes"])
            names = enumerate(self.METAINFO["classes"])
            self.label_map |= {label: self.ignore_index for label, name in names if name not in kept}
        num_labels = num_file_labels(self)
        if num_labels is not None and 0 <= self.ignore_index < num_labels:
            raise ValueError(
                f"ignore_index {self.ignore_index} of {type(self).__name__} is the label of one of its {num_labels} "
                "classes: take another, such as 255"
            )
        is_listed = self.ann_file and not fileio.isdir(self.ann_file, backend_args=self.backend_args)
        data_list = self._listed() if is_listed else super().load_data_list()
        check_segmentation_list(self, data_list)
        extra = dict(ignore_index=self.ignore_index) | ({} if num_labels is None else dict(num_labels=num_labels))
        return [data_info | extra for data_info in data_list]

    def _listed(self) -> list[dict]:
        """The images of a list, which mmseg reads without regard to blank lines, comments and byte order marks."""
        folders = (("img_path", self.img_suffix), ("seg_map_path", self.seg_map_suffix))
        data_list = []
        for name in listed_names(self):
            paths = {
                key: join_image_path(
                    self.data_prefix[key], name + suffix, f"list of images {self.ann_file}", self.allowed_roots
                )
                for key, suffix in folders
                if self.data_prefix.get(key) is not None
            }
            data_list.append(
                paths | dict(label_map=self.label_map, reduce_zero_label=self.reduce_zero_label, seg_fields=[])
            )
        return data_list


def num_file_labels(dataset: BaseSegDataset) -> int | None:
    """Number of classes that the label files of a data set have, which may be more than are used; None if unknown."""
    classes = type(dataset).METAINFO.get("classes") or dataset.metainfo.get("classes")
    return len(classes) if classes else None


def check_segmentation_files(dataset: BaseSegDataset) -> None:
    """Check that the folders of images and labels and the list of images are there, and the list's names are safe.

    Args:
        dataset: An mmseg data set, its prefixes joined with the root.

    Raises:
        FileNotFoundError: If one is not.
        ValueError: If a name in the list leads out of the folder.
    """
    for key, what in (("img_path", "image folder"), ("seg_map_path", "label folder")):
        if dataset.data_prefix.get(key):
            require_existing(dataset.data_prefix[key], what, dataset.backend_args)
    if dataset.ann_file:
        require_existing(dataset.ann_file, "list of images", dataset.backend_args)
        if not fileio.isdir(dataset.ann_file, backend_args=dataset.backend_args):
            roots, source = getattr(dataset, "allowed_roots", ()), f"list of images {dataset.ann_file}"
            for name in listed_names(dataset):
                join_image_path(dataset.data_prefix.get("img_path") or "", name + dataset.img_suffix, source, roots)


def listed_names(dataset: BaseSegDataset) -> list[str]:
    """Names in a data set's list of images, without suffix."""
    content = fileio.get(dataset.ann_file, backend_args=dataset.backend_args)
    return parse_lines(content, f"list of images {dataset.ann_file}")


def check_segmentation_list(dataset: BaseSegDataset, data_list: Sequence[dict]) -> None:
    """Check that there are images, and that each has its files.

    Args:
        dataset: The data set.
        data_list: Its images.

    Raises:
        ValueError: If there is none, or a file is missing.
    """
    folder = dataset.data_prefix.get("img_path")
    if not data_list:
        endings = sorted({PurePath(name).suffix for name in fileio.list_dir_or_file(folder, list_dir=False)} - {""})
        found = f"; it has files ending with {', '.join(endings)}" if endings else ""
        raise ValueError(f"image folder {folder} has no image ending with {dataset.img_suffix!r} (img_suffix){found}")
    missing = missing_files([data_info["img_path"] for data_info in data_list])
    if missing:
        raise ValueError(f"{len(missing)} of {len(data_list)} images do not exist: {summarize(missing)}")
    missing = missing_files([info["seg_map_path"] for info in data_list if info.get("seg_map_path")])
    if missing:
        raise ValueError(
            f"{len(missing)} of the {len(data_list)} images in {folder} have no label map: {summarize(missing)}. Their "
            f"names end with {dataset.seg_map_suffix!r} (seg_map_suffix); list the images to use in ann_file if only "
            "some are labelled"
        )


def check_label_maps(dataset: BaseSegDataset, number: int = 16) -> None:
    """Read label maps from all over a data set, to find before the first step what is wrong with all of them.

    Args:
        dataset: An mmseg data set.
        number: How many are read.

    Raises:
        ValueError: If one is no label map, is not of the size of its image, or has a label that means nothing.
    """
    num_labels = num_file_labels(dataset)
    for index in np.unique(np.linspace(0, len(dataset) - 1, min(number, len(dataset))).astype(int)).tolist():
        info = dataset.get_data_info(index)
        path = info.get("seg_map_path")
        if not path:
            continue
        labels = decode_label_map(read_file(path, dataset.backend_args), path)
        header = read_header(read_file(info["img_path"], dataset.backend_args), info["img_path"])
        shape = header.shape("shown" if labels.shape == header.shape("shown") else "stored")
        check_shape(labels, shape, path, info["img_path"])
        if num_labels is not None:
            ignored = dataset.ignore_index
            if info.get("reduce_zero_label"):
                labels = np.where((labels == 0) | (labels == ignored), ignored, labels - 1)
            check_labels(labels, num_labels, ignored, path)
