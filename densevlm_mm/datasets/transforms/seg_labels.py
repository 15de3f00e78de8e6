"""Loading label maps of 8 or 16 bits.

Not imported by ``densevlm_mm.datasets.transforms``, since pretraining needs no mmseg.
"""

import mmcv
import numpy as np
from mmengine import fileio
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadSegLabels(LoadAnnotations):
    """mmseg's ``LoadAnnotations`` without its cut to 8 bits, which turns class 846 into 78.

    Reads ``seg_map_path`` and, from the data set, ``label_map``, ``reduce_zero_label`` and ``ignore_index`` (255 if it
    names none); adds ``gt_seg_map`` (H, W) int32 and ``seg_fields``.

    Args:
        imdecode_backend: as in ``LoadAnnotations``.
        backend_args: as in ``LoadAnnotations``.

    Raises:
        ValueError: a file has no single channel of whole numbers.
        FileNotFoundError: the file does not exist.
    """

    def __init__(self, imdecode_backend: str = "pillow", backend_args: dict | None = None) -> None:
        super().__init__(imdecode_backend=imdecode_backend, backend_args=backend_args)

    def _load_seg_map(self, results: dict) -> None:
        path = results["seg_map_path"]
        content = fileio.get(path, backend_args=self.backend_args)
        labels = mmcv.imfrombytes(content, flag="unchanged", backend=self.imdecode_backend)
        if labels.ndim == 3 and labels.shape[2] == 1:
            labels = labels[..., 0]
        if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"label map {path} has shape {labels.shape} and type {labels.dtype}, not one channel of "
                "whole numbers: is it a picture?"
            )
        labels = labels.astype(np.int32)  # the widest type that cv2.resize takes
        ignore_index = results.get("ignore_index", 255)
        if results["reduce_zero_label"]:
            labels = np.where((labels == 0) | (labels == ignore_index), np.int32(ignore_index), labels - 1)
        if results.get("label_map") is not None:
            labels = _remap(labels, results["label_map"], ignore_index, path)
        results["gt_seg_map"] = labels
        results["seg_fields"].append("gt_seg_map")


def _remap(labels: np.ndarray, label_map: dict[int, int], ignore_index: int, path: str) -> np.ndarray:
    table = np.full(ignore_index + 1, -1, dtype=np.int32)
    table[ignore_index] = ignore_index
    table[list(label_map)] = list(label_map.values())
    if labels.max() > ignore_index or (table[labels] < 0).any():
        raise ValueError(f"label map {path} has labels that are neither a class nor {ignore_index}")
    return table[labels]
