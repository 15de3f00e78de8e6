"""From the results dict of a pipeline to the model's input."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import InstanceData

from densevlm_mm.registry import TRANSFORMS
from densevlm_mm.structures import META_KEYS, OPTIONAL_META_KEYS, RegionDataSample


@TRANSFORMS.register_module()
class PackRegionInputs(BaseTransform):
    """Pack the image and its regions.

    Args:
        meta_keys: What of the results dict becomes the data sample's metainfo, beside those of ``OPTIONAL_META_KEYS``
            that it has.

    Raises:
        KeyError: a key is missing.
    """

    image_arguments: tuple[str, ...] = ()  # docs/teacher_cache.md

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack.

        Args:
            results: Must hold ``img`` (S, S, 3) uint8 BGR and the ``meta_keys``; ``regions`` and ``gt_regions`` are
                dicts of arrays, ``segment_map`` is an array.

        Returns:
            ``inputs`` (3, S, S) uint8 BGR tensor and ``data_samples``, a
            :class:`~densevlm_mm.structures.RegionDataSample`.
        """
        missing = [key for key in ("img", *self.meta_keys) if key not in results]
        if missing:
            raise KeyError(f"PackRegionInputs misses {missing}: add the transform that makes them, or change meta_keys")
        keys = dict.fromkeys((*self.meta_keys, *(key for key in OPTIONAL_META_KEYS if key in results)))
        sample = RegionDataSample(metainfo={key: results[key] for key in keys})
        for name in ("regions", "gt_regions"):
            if name in results:
                tensors = {key: torch.from_numpy(np.asarray(value)) for key, value in results[name].items()}
                setattr(sample, name, InstanceData(**tensors))
        if "segment_map" in results:
            sample.segment_map = torch.from_numpy(results["segment_map"])
        return dict(inputs=_to_planes(results["img"]), data_samples=sample)


def _to_planes(img: np.ndarray) -> torch.Tensor:
    planes = img.transpose(2, 0, 1)
    if planes.flags.c_contiguous:
        return torch.from_numpy(planes)
    planes = np.empty_like(planes, order="C")
    for channel, plane in enumerate(planes):
        cv2.extractChannel(img, channel, plane)  # OpenCV is faster than a strided copy of numpy or torch
    return torch.from_numpy(planes)
