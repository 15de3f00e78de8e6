"""Given regions as the regions to train on."""

import numpy as np
from mmcv.transforms import BaseTransform

from densevlm_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ProposalRegions(BaseTransform):
    """Train on regions from a file, the counterpart of :class:`GridRegions` (Table 11; CLIPSelf with proposals).

    The regions come from a :class:`~densevlm_mm.datasets.RegionProposalDataset`. Of more than ``max_regions`` a random
    set is drawn with numpy's global generator. Boxes are clipped to the image.

    It may stand before or after PadToSquare, which brings the boxes into its frame.

    Adds ``regions``: ``boxes_norm_xyxy`` (R, 4) float32 as fractions of the (padded) canvas; ``cell_ids`` (R,) int64,
    the regions' positions among those of the image in the file; ``category_labels`` (R,) int64, positions in the data
    set's ``classes``, where the file has categories. In the file's order.

    Args:
        max_regions: Most regions an image; ``None`` takes all.

    Raises:
        ValueError: ``max_regions`` below 1, or a region lies outside its image.
        KeyError: The data set has no regions.
    """

    def __init__(self, max_regions: int | None = None) -> None:
        if max_regions is not None and max_regions < 1:
            raise ValueError(f"max_regions must be at least 1, not {max_regions}")
        self.max_regions = max_regions

    def transform(self, results: dict) -> dict:
        """Add the regions.

        Args:
            results: Must hold ``proposals``, ``ori_shape`` and ``img_shape``, and ``pad_shape`` if padded.

        Returns:
            ``results`` with ``regions``.
        """
        if "proposals" not in results:
            raise KeyError("ProposalRegions needs the regions of a RegionProposalDataset: make it the dataset's type")
        proposals = results["proposals"]
        chosen = self._choose(len(proposals.region_ids))
        img_h, img_w = results["img_shape"]
        pad_h, pad_w = results.get("pad_shape", (img_h, img_w))
        extent = np.array([img_w / pad_w, img_h / pad_h] * 2)
        boxes = self._normalise(proposals.boxes_xyxy[chosen], results["ori_shape"], results["img_path"])
        results["regions"] = dict(
            boxes_norm_xyxy=(boxes * extent).astype(np.float32), cell_ids=proposals.region_ids[chosen]
        )
        if proposals.category_labels is not None:
            results["regions"]["category_labels"] = proposals.category_labels[chosen]
        return results

    def _choose(self, count: int) -> np.ndarray:
        if self.max_regions is None or count <= self.max_regions:
            return np.arange(count)
        return np.sort(np.random.choice(count, self.max_regions, replace=False))

    @staticmethod
    def _normalise(boxes_xyxy: np.ndarray, ori_shape: tuple[int, int], path: str) -> np.ndarray:
        """Boxes as fractions of the image area, clipped to it, float64."""
        height, width = ori_shape
        boxes = np.clip(boxes_xyxy / np.array([width, height] * 2, dtype=np.float64), 0, 1)
        outside = (boxes[:, 2:] <= boxes[:, :2]).any(axis=1)
        if outside.any():
            raise ValueError(
                f"region {boxes_xyxy[outside][0].tolist()} (x1, y1, x2, y2) lies outside {path}, which is {width} x "
                f"{height}, or is empty: the region file and the images do not belong together"
            )
        return boxes

    def __repr__(self) -> str:
        """Show the arguments."""
        return f"ProposalRegions(max_regions={self.max_regions})"
