"""AP50 of novel, base and all classes of OV-COCO.

Not imported by ``densevlm_mm.evaluation``, since pretraining needs no mmdet. A detection config says
``custom_imports = dict(imports=['densevlm_mm.detection'])``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.evaluation.metrics import OVCocoMetric
from mmdet.registry import METRICS

from densevlm_mm.evaluation.class_order import ClassOrderCocoMetric
from densevlm_mm.vocabulary.splits import check_split, novel_mask


@METRICS.register_module()
class OVCocoAP50Metric(ClassOrderCocoMetric, OVCocoMetric):
    """mmdet's ``OVCocoMetric`` with the three figures of OV-COCO, unrounded and right for any order of the classes.

    ``coco/novel_ap50``, ``coco/base_ap50`` and ``coco/all_ap50`` are means over the classes that have ground truth of
    their AP at IoU 0.5, as fractions from 0 to 1 like all of mmdet's figures (papers print percentages), or -1 if no
    class has. They come from one run over all classes (the generalised setting). mmdet's other keys stay, of which
    ``bbox_mAP_50`` is ``all_ap50`` rounded to three digits. A run without any detection gives 0, where mmdet gives
    nothing, on which ``save_best`` would stop.

    With the official file as ``ann_file`` the images that :class:`OVCocoDataset` drops count neither way. For
    ``save_best='coco/novel_ap50'`` set ``rule='greater'``.

    Args:
        ann_file: The official ``instances_val2017.json``; None takes the ground truth from the data samples.
        metric: ``bbox`` or ``segm``; one, since both would write to the same keys.
        iou_thrs: IoU thresholds, 0.5 first; default 0.5 to 0.95. ``[0.5]`` is quicker.
        **kwargs: As in mmdet's ``CocoMetric``.

    Raises:
        ValueError: The metric is another, the first of ``iou_thrs`` is not 0.5, the data set has no base/novel split,
            or the file lacks one of its classes. Raised before the first image.

    Example:
        >>> val_evaluator = dict(type='OVCocoAP50Metric', ann_file='data/coco/annotations/instances_val2017.json')
    """

    def __init__(
        self,
        ann_file: str | None = None,
        metric: str | list[str] = "bbox",
        iou_thrs: float | Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        if metric not in ("bbox", "segm", ["bbox"], ["segm"]):
            raise ValueError(f"metric must be 'bbox' or 'segm', not {metric!r}: use two metrics with a prefix each")
        # An array, since pycocotools compares it with a number, which fails for the lists of a config.
        thresholds = None if iou_thrs is None else np.atleast_1d(iou_thrs)
        if thresholds is not None and not np.isclose(thresholds[0], 0.5):
            raise ValueError(f"the first of iou_thrs must be 0.5 for an AP50, not {thresholds[0]}")
        super().__init__(ann_file=ann_file, metric=metric, iou_thrs=thresholds, **kwargs)
        self.base_cat_ids: list[int] = []
        self.novel_cat_ids: list[int] = []

    def _adopt_classes(self, dataset_meta: dict) -> None:
        source = "metainfo of the data set that OVCocoAP50Metric evaluates"
        check_split(dataset_meta, source)
        super()._adopt_classes(dataset_meta)
        is_novel = novel_mask(dataset_meta["classes"], dataset_meta["novel_classes"], source)
        pairs = list(zip(self.label_cat_ids, is_novel, strict=True))
        self.base_cat_ids = [category for category, novel in pairs if not novel]
        self.novel_cat_ids = [category for category, novel in pairs if novel]

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the figures.

        Args:
            results: Pairs of ground truth and prediction, one an image, as ``process`` makes them.

        Returns:
            Figures by key, without prefix.
        """
        figures = dict(super().compute_metrics(results))
        if self.format_only:
            return figures
        num_base, num_novel = self._num_evaluated(self.base_cat_ids), self._num_evaluated(self.novel_cat_ids)
        for key, number in dict(base_ap=num_base, novel_ap=num_novel).items():
            for name in (key, f"{key}50"):
                figures[name] = float(figures.get(name, 0.0)) if number else -1.0
        # A mean over classes is the mean of the groups' means, weighted by their numbers of classes.
        total = num_base * figures["base_ap50"] + num_novel * figures["novel_ap50"]
        figures["all_ap50"] = total / (num_base + num_novel) if num_base + num_novel else -1.0
        return figures

    def _num_evaluated(self, categories: list[int]) -> int:
        """Number of categories with ground truth, crowds aside: the ones for which pycocotools has an AP."""
        annotations = self._coco_api.dataset.get("annotations", [])
        evaluated = {annotation["category_id"] for annotation in annotations if not annotation.get("iscrowd", 0)}
        return len(evaluated & set(categories))
