"""Pictures of segmentations with a legend of the classes in them.

Not imported by ``densevlm_mm.visualization``, since pretraining needs no mmseg. A segmentation config says
``custom_imports = dict(imports=['densevlm_mm.segmentation'])``.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import mmcv
import numpy as np
from mmengine.dist import is_main_process
from mmengine.visualization import LocalVisBackend
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

from densevlm_mm.models.open_vocabulary import class_names
from densevlm_mm.visualization.distinct_colours import assign_colours
from densevlm_mm.visualization.legend_panel import LegendEntry, draw_legend, draw_title
from densevlm_mm.vocabulary.class_matching import renumbering
from densevlm_mm.vocabulary.names import normal_form


class LabelledMap(NamedTuple):
    """A label map with the names of its labels.

    Args:
        title: what it is.
        labels: (H, W) whole numbers; those that name no class are left uncoloured.
        names: of label 0, 1, ...
    """

    title: str
    labels: np.ndarray
    names: Sequence[str]


def draw_segmentation(
    image: np.ndarray, maps: Sequence[LabelledMap], alpha: float = 0.6, size: int = 512
) -> np.ndarray:
    """Draw the image, label maps over it, and a legend of the classes that occur in them, side by side.

    Under an overlay the image is grey, so that the colours are those of the legend.
    The legend has each class's share of the image in every map, the largest classes first. Maps whose lists of names
    have the same length are taken to have the same classes, called as the last map calls them, in the same order unless
    the names say otherwise; else classes of two maps are the same if their names are. A class keeps its colour from
    picture to picture unless another class in the picture, with more pixels, has it.

    Args:
        image: RGB (H, W, 3) uint8.
        maps: label maps of the image.
        alpha: opacity of the overlay, 0 to 1.
        size: images whose longer side is shorter than this are enlarged to it, in pixels.

    Returns:
        RGB picture, uint8.

    Raises:
        ValueError: a map has not the size of the image.
    """
    for each in maps:
        if each.labels.shape != image.shape[:2]:
            raise ValueError(
                f"{each.title} is {each.labels.shape[0]} x {each.labels.shape[1]}, the image "
                f"{image.shape[0]} x {image.shape[1]}: give both at the size of the file"
            )
    zoom = max(1.0, size / max(image.shape[:2]))
    width, height = (max(round(side * zoom), 1) for side in image.shape[1::-1])
    canvas = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    numbered, names = _number_classes(maps)
    shares = np.stack([_shares(labels, len(names)) for labels in numbered])
    order = np.argsort(-shares.max(axis=0), kind="stable")
    order = order[shares.max(axis=0)[order] > 0]
    colours = np.zeros((len(names) + 1, 3))
    colours[order] = assign_colours(order.tolist())
    panels = [draw_title(canvas, "image")]
    grey = np.repeat(cv2.cvtColor(canvas, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=-1)
    for each, labels in zip(maps, numbered, strict=True):
        large = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
        overlay = (grey * (1 - alpha) + colours[large] * alpha).round().astype(np.uint8)
        overlay = np.where((large < len(names))[..., None], overlay, canvas)
        panels.append(draw_title(overlay, each.title))
    entries = [LegendEntry(names[index], colours[index], shares[:, index]) for index in order]
    panels.append(draw_legend(entries, [each.title for each in maps], panels[0].shape[0]))
    tallest = max(panel.shape[0] for panel in panels)
    gap = 4
    padded = [np.pad(panel, ((0, tallest - len(panel)), (0, gap), (0, 0)), constant_values=255) for panel in panels]
    return np.concatenate(padded, axis=1)


def _number_classes(maps: Sequence[LabelledMap]) -> tuple[list[np.ndarray], list[str]]:
    """Label maps (H, W) int32 over one common list of classes, and the list; its length stands for no class."""
    names = [name.strip() for name in maps[-1].names]
    try:
        numbers = [np.array(renumbering(each.names, names) or range(len(names)), dtype=np.int64) for each in maps]
    except ValueError:  # lists of other classes
        known: dict[str, int] = {}
        numbers = [np.array([known.setdefault(normal_form(name), len(known)) for name in each.names]) for each in maps]
        spelled = {normal_form(name): name.strip() for each in maps for name in each.names}
        names = [spelled[name] for name in known]
    numbered = []
    for each, table in zip(maps, numbers, strict=True):
        is_class = (each.labels >= 0) & (each.labels < len(table))
        numbered.append(np.where(is_class, table[np.where(is_class, each.labels, 0)], len(names)).astype(np.int32))
    return numbered, names


def _shares(labels: np.ndarray, num_classes: int) -> np.ndarray:
    return np.bincount(labels.ravel(), minlength=num_classes + 1)[:num_classes] / labels.size


@VISUALIZERS.register_module()
class LegendSegVisualizer(SegLocalVisualizer):
    """mmseg's visualizer with image, ground truth, prediction and a legend side by side.

    Readable for small images, which are enlarged, and for any number of classes, since only those in the picture are
    listed. The names of the prediction are its ``vocabulary_classes``, if it has them, or else those of the data set.
    In a run of several processes each writes the files of its images (``LocalVisBackend``); other backends get the
    pictures of the first process.

    Args:
        name: name of the instance.
        alpha: opacity of the overlay, 0 to 1.
        min_size: images whose longer side is shorter than this are enlarged to it, in pixels.
        **kwargs: as in ``SegLocalVisualizer``.
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
            name: name of the picture.
            image: RGB (H, W, 3) uint8.
            data_sample: ``gt_sem_seg`` and ``pred_sem_seg``, either may be missing.
            draw_gt: draw the ground truth.
            draw_pred: draw the prediction.
            show: open a window.
            wait_time: how long it stays, in seconds; 0 waits for a key.
            out_file: file to write to instead of the storage backends.
            step: number of the picture's version.
            with_labels: not used; the names are in the legend.

        Raises:
            ValueError: there is nothing to draw.
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
