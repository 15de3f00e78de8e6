"""Pictures of open-vocabulary detections: base and novel classes apart.

Not imported by ``densevlm_mm.visualization``, since pretraining needs no mmdet.
"""

import warnings
from typing import Any

import cv2
import matplotlib
import numpy as np
from mmdet.registry import VISUALIZERS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData

from densevlm_mm.models.open_vocabulary import instance_names
from densevlm_mm.visualization.fonts import PLAIN_TEXT, drawable, font_families, label_text

# Okabe and Ito's blue and vermilion, which colour-blind people tell apart too.
BASE_COLOUR = (0, 114, 178)
NOVEL_COLOUR = (213, 94, 0)


@VISUALIZERS.register_module()
class OpenVocabularyDetVisualizer(DetLocalVisualizer):
    """Mmdet's visualizer with blue base classes and vermilion novel ones, whose names are marked ``(novel)``.

    Names of predictions are those that they carry (``label_names``), those of ground truth the data set's. Small images
    are enlarged, so that the names can be read.

    Args:
        name: Name of the instance.
        min_size: Longer side of a picture in pixels, at least.
        **options: Those of mmdet's ``DetLocalVisualizer``.
    """

    def __init__(  # `name` stands here because mmengine looks for it
        self, name: str = "visualizer", min_size: int = 640, line_width: float = 2, alpha: float = 0.9, **options: Any
    ) -> None:
        super().__init__(name, line_width=line_width, alpha=alpha, **options)
        self.min_size = min_size

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
        palette = [BASE_COLOUR] * (int(instances.labels.max()) + 1)
        for label, novel in zip(instances.labels.tolist(), is_novel, strict=True):
            if novel:
                palette[label] = NOVEL_COLOUR
        instances = instances.clone()
        texts = map(label_text, names, instances.labels.tolist())
        instances.label_names = [
            f"{text} (novel)" if novel else text for text, novel in zip(texts, is_novel, strict=True)
        ]
        with warnings.catch_warnings():  # which mmengine has for every box that ends at the image's border
            warnings.filterwarnings("ignore", message=".* is out of bounds")
            return super()._draw_instances(image, instances, classes, palette)

    def draw_texts(
        self, texts: str | list[str], positions: Any, font_sizes: int, **options: Any
    ) -> "OpenVocabularyDetVisualizer":
        """Write names of boxes, as text and in fonts that have their letters; mmdet's are too small on small boxes."""
        drawn = [drawable(text) for text in ([texts] if isinstance(texts, str) else texts)]
        options["font_families"] = [font_families(text) for text in drawn]
        with matplotlib.rc_context(PLAIN_TEXT):
            return super().draw_texts(drawn, positions, font_sizes=max(font_sizes, 11), **options)


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
