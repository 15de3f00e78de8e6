"""AP of rare, common and frequent classes of OV-LVIS, for classes in any order.

Not imported by ``densevlm_mm.evaluation``, since pretraining needs no mmdet. A detection config says
``custom_imports = dict(imports=['densevlm_mm.detection'])``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.evaluation.metrics import LVISMetric
from mmdet.registry import METRICS
from pycocotools.mask import encode

from densevlm_mm.datasets.lvis_categories import lvis_category_rows
from densevlm_mm.evaluation.class_order import ClassOrderCocoMetric
from densevlm_mm.evaluation.ground_truth import load_lvis


@METRICS.register_module()
class OVLVISMetric(ClassOrderCocoMetric, LVISMetric):
    """mmdet's ``LVISMetric``, right for any order of classes and categories, and for some of a file's classes.

    ``lvis/bbox_APr`` (and ``segm_APr``) is the AP of the novel classes, ``APc`` and ``APf`` those of the others by
    frequency, as the file has it; -1 for a group without ground truth. Categories of the file that are no classes of
    the data set are left out. A run without any detection gives 0, where mmdet gives nothing, on which ``save_best``
    would stop.

    Args:
        ann_file: Annotations in LVIS's format.
        metric: ``bbox``, ``segm`` or both.
        **kwargs: As in mmdet's ``LVISMetric``.

    Raises:
        ValueError: Another metric; the file lacks a class (before the first image) or a ``frequency``, or an image what
            the federated evaluation needs.

    Example:
        >>> val_evaluator = dict(type='OVLVISMetric', ann_file='data/lvis/annotations/lvis_v1_val.json',
        ...     metric=['bbox', 'segm'])
    """

    def __init__(self, ann_file: str, metric: str | Sequence[str] = "bbox", **kwargs: Any) -> None:
        metrics = [metric] if isinstance(metric, str) else list(metric)
        if not metrics or set(metrics) - {"bbox", "segm"}:
            raise ValueError(f"metric must be 'bbox', 'segm' or both, not {metric!r}: lvis cannot pool categories")
        super().__init__(ann_file, metric=metrics, **kwargs)

    def _load(self, ann_file: str) -> None:
        self._lvis_api = load_lvis(ann_file, self.max_overhang, self.backend_args)

    def _categories_of(self, classes: Sequence[str]) -> list[int]:
        content = self._lvis_api.dataset
        categories = content["categories"]
        names, frequencies = ([category.get(key) for category in categories] for key in ("name", "frequency"))
        rows = lvis_category_rows(names, frequencies, classes, self._source)
        ids = [categories[row]["id"] for row in rows]
        for row, name in zip(rows, classes, strict=True):
            categories[row]["name"] = name
        if len(ids) < len(categories):  # lvis evaluates all categories of the file
            kept = set(ids)
            content["categories"] = [category for category in categories if category["id"] in kept]
            content["annotations"] = [each for each in content["annotations"] if each["category_id"] in kept]
            self._lvis_api._create_index()
        return ids

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the figures.

        Args:
            results: Pairs of ground truth and prediction, one an image, as ``process`` makes them.

        Returns:
            Figures by key, without prefix.
        """
        if results and not any(len(predicted["labels"]) for _, predicted in results):
            results = [(results[0][0], _with_one_miss(*results[0])), *results[1:]]
        return super().compute_metrics(results)


def _with_one_miss(truth: dict, predicted: dict) -> dict:
    """The prediction with one detection of score 0 that hits nothing: lvis evaluates no empty list."""
    miss: dict[str, Any] = dict(bboxes=np.zeros((1, 4)), scores=np.zeros(1), labels=np.zeros(1, dtype=np.int64))
    if "masks" in predicted:
        miss["masks"] = [encode(np.zeros((truth["height"], truth["width"]), dtype=np.uint8, order="F"))]
    return {**predicted, **miss}
