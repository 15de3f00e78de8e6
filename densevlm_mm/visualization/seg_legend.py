"""mmseg's visualizer with a legend of the classes in the picture.

Not imported by ``densevlm_mm.visualization``, since pretraining needs no mmseg. A segmentation config says
``custom_imports = dict(imports=['densevlm_mm.segmentation'])``.
"""

from typing import Any

import mmcv
import numpy as np
from mmengine.dist import is_main_process
from mmengine.visualization import LocalVisBackend
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

from densevlm_mm.models.open_vocabulary import class_names
from densevlm_mm.visualization.segments import LabelledMap, draw_segmentation


@VISUALIZERS.register_module()
class LegendSegVisualizer(SegLocalVisualizer):
    """mmseg's visualizer with image, ground truth, prediction and a legend side by side.

    Readable for small images, which are enlarged, and for any number of classes, since only those in the picture are
    listed. The names of the prediction are its ``vocabulary_classes``, if it has them, or else those of the data set.
    In a run of several processes each writes the files of its images (``LocalVisBackend``); other backends get the
    pictures of the first process.

    Args:
        name: Name of the instance.
        alpha: Opacity of the overlay, 0 to 1.
        min_size: Images whose longer side is shorter than this are enlarged to it, in pixels.
        **kwargs: As in ``SegLocalVisualizer``.
    """

    def __init__(self, name: str = "visualizer", alpha: float = 0.6, min_size: int = 512, **kwargs: Any) -> None:
        super().__init__(name, alpha=alpha, **kwargs)
        self.min_size = min_size

    @property
    def dataset_meta(self) -> dict | None:
        """Metainfo of the data set, in every process; mmengine's is known to the main one alone."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict | None) -> None:
        self._dataset_meta = dataset_meta

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: SegDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
        with_labels: bool | None = True,
    ) -> None:
        """Draw an image's segmentation and store or show it.

        Args:
            name: Name of the picture.
            image: RGB (H, W, 3) uint8.
            data_sample: ``gt_sem_seg`` and ``pred_sem_seg``, either may be missing.
            draw_gt: Draw the ground truth.
            draw_pred: Draw the prediction.
            show: Open a window.
            wait_time: How long it stays, in seconds; 0 waits for a key.
            out_file: File to write to instead of the storage backends.
            step: Number of the picture's version.
            with_labels: Not used; the names are in the legend.

        Raises:
            ValueError: There is nothing to draw.
        """
        classes = (self.dataset_meta or {}).get("classes", ())  # a user's images have none
        maps = []
        if draw_gt and data_sample is not None and "gt_sem_seg" in data_sample:
            maps.append(LabelledMap("ground truth", _labels(data_sample.gt_sem_seg), classes))
        if draw_pred and data_sample is not None and "pred_sem_seg" in data_sample:
            predicted = class_names(data_sample, self.dataset_meta)
            maps.append(LabelledMap("prediction", _labels(data_sample.pred_sem_seg), predicted))
        if not maps:
            raise ValueError(f"{name}: the data sample has neither gt_sem_seg nor pred_sem_seg to draw")
        picture = draw_segmentation(image, maps, self.alpha, self.min_size)
        self.set_image(picture)
        if show and is_main_process():
            self.show(picture, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(mmcv.rgb2bgr(picture), out_file)
        elif is_main_process():
            self.add_image(name, picture, step)
        else:
            for backend in self._vis_backends.values():
                if isinstance(backend, LocalVisBackend):
                    backend.add_image(name, picture, step)


def _labels(sem_seg: Any) -> np.ndarray:
    return np.asarray(sem_seg.cpu().data.squeeze(0))
