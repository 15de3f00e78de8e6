"""Loading label maps of 8 or 16 bits.

Not imported by ``densevlm_mm.datasets.transforms``, since pretraining needs no mmseg.
"""

import numpy as np
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from densevlm_mm.datasets.image_files import read_file
from densevlm_mm.datasets.label_map_files import check_labels, check_shape, decode_label_map


@TRANSFORMS.register_module()
class LoadSegLabels(LoadAnnotations):
    """mmseg's ``LoadAnnotations`` that checks every file, without its cut to 8 bits, which turns class 846 into 78.

    Reads ``seg_map_path`` and, from the data set, ``label_map``, ``reduce_zero_label``, ``ignore_index`` (255 if it
    names none) and ``num_labels`` (how many classes the files have; the labels are not checked without it). Adds
    ``gt_seg_map`` (H, W) int32 and ``seg_fields``.

    Args:
        backend_args: As in ``LoadAnnotations``.

    Raises:
        ValueError: a file has no single channel of whole numbers, is not of the size of its image, or has a label that
            means nothing.
        FileNotFoundError: The file does not exist.
    """

    def __init__(self, backend_args: dict | None = None) -> None:
        super().__init__(backend_args=backend_args)

    def transform(self, results: dict) -> dict:
        """Load the label map of a data set's sample; an image alone, as ``mmseg.apis`` gives it, has none."""
        if "seg_map_path" not in results and "seg_fields" not in results:
            return results
        return super().transform(results)

    def _load_seg_map(self, results: dict) -> None:
        path = results["seg_map_path"]
        labels = decode_label_map(read_file(path, self.backend_args), path)
        if "ori_shape" in results:
            check_shape(labels, results["ori_shape"], path, results.get("img_path", ""))
        ignore_index = results.get("ignore_index", 255)
        if results["reduce_zero_label"]:
            labels = np.where((labels == 0) | (labels == ignore_index), np.int32(ignore_index), labels - 1)
        label_map = results.get("label_map")
        num_labels = results.get("num_labels", None if label_map is None else max(label_map) + 1)
        if num_labels is not None:
            check_labels(labels, num_labels, ignore_index, path)
        if label_map is not None:
            labels = _remap(labels, label_map, ignore_index, path)
        results["gt_seg_map"] = labels
        results["seg_fields"].append("gt_seg_map")

    def __repr__(self) -> str:
        """Show the arguments."""
        return f"LoadSegLabels(backend_args={self.backend_args})"


def _remap(labels: np.ndarray, label_map: dict[int, int], ignore_index: int, path: str) -> np.ndarray:
    table = np.full(max(*label_map, ignore_index) + 1, -1, dtype=np.int32)
    table[ignore_index] = ignore_index
    table[list(label_map)] = list(label_map.values())
    if (table[labels] < 0).any():
        raise ValueError(f"label map {path} has labels that are neither a class nor {ignore_index}")
    return table[labels]
