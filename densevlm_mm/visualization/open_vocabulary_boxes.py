"""Pictures of open-vocabulary detections: base and novel classes apart.

Not imported by ``densevlm_mm.visualization``, since pretraining needs no mmdet.
"""

from typing import Any

import cv2
import numpy as np
from mmdet.registry import VISUALIZERS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData

from densevlm_mm.models.open_vocabulary import instance_names
from densevlm_mm.visualization.detected_regions import detected_regions
from densevlm_mm.visualization.named_regions import MAX_LABELS, draw_named_regions


@VISUALIZERS.register_module()
class OpenVocabularyDetVisualizer(DetLocalVisualizer):
    """Mmdet's visualizer with blue base classes and vermilion novel ones, whose names are marked ``(novel)``.

    Names of predictions are those that they carry (``label_names``), those of ground truth the data set's. Small images
    are enlarged, so that the names can be read.

    Args:
        name: Name of the instance.
        min_size: Longer side of a picture in pixels, at least.
        max_labels: Most names on a picture, the others are counted.
        **options: Those of mmdet's ``DetLocalVisualizer``.
    """

    def __init__(  # `name` stands here because mmengine looks for it
        self, name: str = "visualizer", min_size: int = 640, max_labels: int = MAX_LABELS, **options: Any
    ) -> None:
        super().__init__(name, **options)
        self.min_size, self.max_labels = min_size, max_labels

    def add_datasample(
        self, name: str, image: np.ndarray, data_sample: DetDataSample | None = None, *args: Any, **options: Any
    ) -> None:
        """Draw an image with its ground truth (left) and predictions (right).

        Args:
            name: Title of the picture in the backends.
            image: RGB (H, W, 3) uint8.
            data_sample: With ``gt_instances`` and ``pred_instances``, in the frame of the image.
            *args: As in mmdet's ``DetLocalVisualizer``.
            **options: As in mmdet's ``DetLocalVisualizer``, such as ``out_file`` and ``pred_score_thr``.
        """
        factor = max(1, round(self.min_size / max(image.shape[:2])))
        if factor > 1:
            image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
            data_sample = None if data_sample is None else _enlarged(data_sample, factor)
        super().add_datasample(name, image, data_sample, *args, **options)

    def _draw_instances(
        self,
        image: np.ndarray,
        instances: InstanceData,
        classes: list[str] | None,
        palette: list[tuple] | None,
    ) -> np.ndarray:
        if not len(instances):
            return image
        names, is_novel = instance_names(instances, dict(self.dataset_meta or {}, classes=classes))
        regions = detected_regions(
            names,
            instances.labels.tolist(),
            np.asarray(instances.bboxes),
            scores=np.asarray(instances.scores) if "scores" in instances else None,
            masks=_bitmaps(instances.get("masks", None)),
            is_novel=is_novel,
        )
        return draw_named_regions(image, regions, self.max_labels, min_size=0)


def _enlarged(data_sample: DetDataSample, factor: int) -> DetDataSample:
    sample = data_sample.cpu()
    for field in ("gt_instances", "pred_instances"):
        if field in sample and len(getattr(sample, field)):
            instances = getattr(sample, field).clone()
            instances.bboxes = instances.bboxes * factor
            if "masks" in instances:
                instances.masks = _enlarged_masks(instances.masks, factor)
            setattr(sample, field, instances)
    return sample


def _enlarged_masks(masks: Any, factor: int) -> Any:
    if isinstance(masks, BitmapMasks | PolygonMasks):
        return masks.resize((masks.height * factor, masks.width * factor))
    return masks.repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)


def _bitmaps(masks: Any) -> np.ndarray | None:
    if masks is None:
        return None
    return (masks.to_ndarray() if isinstance(masks, BitmapMasks | PolygonMasks) else np.asarray(masks)).astype(bool)
