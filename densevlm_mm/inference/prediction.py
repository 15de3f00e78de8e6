"""What was found in an image: `Prediction`, one type for detectors, segmentors and encoders."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from mmengine.visualization import Visualizer
from PIL import Image
from pycocotools import mask as coco_masks

from densevlm_mm.evaluation.prediction_recorder import instances_summary, shares_summary
from densevlm_mm.files import atomic_write
from densevlm_mm.models.open_vocabulary import class_names, instance_names
from densevlm_mm.visualization.detected_regions import detected_regions
from densevlm_mm.visualization.named_regions import MAX_LABELS, draw_named_regions
from densevlm_mm.visualization.segments import LabelledMap, draw_segmentation


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Objects, segments or classified regions of an image. All coordinates are pixels of the image.

    A segmentation has one entry a class that occurs, the largest first; its score is the mean over the segment's pixels
    of what the model gives their class, NaN where the model keeps no scores.

    Args:
        image: RGB (H, W, 3) uint8.
        path: Of its file, or what it is called.
        classes: Names of the K classes that were looked for.
        labels: Class numbers (N,) int64, in the order of the entries.
        scores: (N,) float32.
        boxes: x1, y1, x2, y2 (N, 4) float32; None for points.
        instance_masks: (N, H, W) bool; None if the model makes none.
        label_map: Of a segmentation, (H, W) int64.
        is_novel: (N,) bool, whether the class was held out from a detector's training; None if unknown.
        class_scores: Scores of all classes (N, K) float32 of classified regions; else None.
        points: x, y (N, 2) float32 of classified points; else None.
        sample: The model's own data sample, without the scores of all classes that segmentors keep; else None.
    """

    image: np.ndarray
    path: str
    classes: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray | None = None
    instance_masks: np.ndarray | None = None
    label_map: np.ndarray | None = None
    is_novel: np.ndarray | None = None
    class_scores: np.ndarray | None = None
    points: np.ndarray | None = None
    sample: Any = None

    @classmethod
    def from_sample(cls, sample: Any, image: np.ndarray, meta: Mapping[str, Any], score_thr: float) -> "Prediction":
        """Read a data sample of a detector or segmentor.

        Args:
            sample: Of :class:`~densevlm_mm.models.open_vocabulary.OpenVocabularyModel`, or of another mmdet or mmseg
                model.
            image: RGB.
            meta: ``classes`` of a model whose predictions carry no names.
            score_thr: Only detections with a higher score are kept.

        Raises:
            ValueError: If nobody knows what the labels are called, or the model predicts neither.
        """
        if "pred_instances" in sample:
            return cls._detection(sample, image, meta, score_thr)
        if "pred_sem_seg" in sample:
            return cls._segmentation(sample, image, meta)
        raise ValueError(f"{sample.get('img_path')}: the model predicts neither pred_instances nor pred_sem_seg")

    @classmethod
    def _detection(cls, sample: Any, image: np.ndarray, meta: Mapping[str, Any], score_thr: float) -> "Prediction":
        instances = sample.pred_instances.cpu()
        names, novel = instance_names(instances, meta)
        labels = instances.labels.numpy().astype(np.int64)
        kept = (instances.scores > score_thr).numpy()
        classes = list(meta.get("classes") or ())
        classes += [""] * (int(labels.max(initial=-1)) + 1 - len(classes))
        for label, name in zip(labels, names, strict=True):
            classes[label] = name
        masks = instances.get("masks", None)
        return cls(
            image,
            str(sample.get("img_path")),
            tuple(classes),
            labels[kept],
            instances.scores.numpy()[kept],
            boxes=instances.bboxes.numpy()[kept],
            instance_masks=None if masks is None else np.asarray(masks, dtype=bool)[kept],
            is_novel=None if None in novel else np.array(novel, dtype=bool)[kept],
            sample=sample,
        )

    @classmethod
    def _segmentation(cls, sample: Any, image: np.ndarray, meta: Mapping[str, Any]) -> "Prediction":
        label_map = sample.pred_sem_seg.data[0].cpu().numpy().astype(np.int64)
        classes = tuple(class_names(sample, meta))
        counts = np.bincount(label_map.ravel(), minlength=len(classes))[: len(classes)]
        labels = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
        sums = _score_sums(sample, label_map, len(classes))
        scores = np.full(len(labels), np.nan) if sums is None else sums[labels] / counts[labels]
        for name in ("seg_logits", "pred_scores"):
            sample.pop(name, None)
        boxes = np.array([_extent(label_map == label) for label in labels], np.float32).reshape(-1, 4)
        return cls(
            image,
            str(sample.get("img_path")),
            classes,
            labels,
            scores.astype(np.float32),
            boxes=boxes,
            label_map=label_map,
            sample=sample,
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        """Path and names."""
        return f"Prediction({self.path}: {self.summary()})"

    def _repr_png_(self) -> bytes:
        """Picture, for notebooks."""
        content = io.BytesIO()
        Image.fromarray(self.picture()).save(content, "png")
        return content.getvalue()

    @property
    def names(self) -> list[str]:
        """Names of the N entries."""
        return [self.classes[label] for label in self.labels]

    @cached_property
    def masks(self) -> np.ndarray | None:
        """Masks of the entries, (N, H, W) bool; None if the model makes none."""
        if self.label_map is None:
            return self.instance_masks
        return self.label_map == self.labels[:, None, None]

    @property
    def shares(self) -> np.ndarray:
        """Share of the image that each entry's mask covers, (N,).

        Raises:
            ValueError: If there are no masks.
        """
        if self.masks is None:
            raise ValueError(f"{self.path}: the prediction has no masks")
        return self.masks.mean(axis=(1, 2))

    def above(self, score: float) -> "Prediction":
        """The entries with a higher score; of a segmentation all."""
        if self.label_map is not None:
            return self
        kept = self.scores > score
        fields = ("labels", "scores", "boxes", "instance_masks", "is_novel", "class_scores", "points")
        changed = {name: getattr(self, name)[kept] for name in fields if getattr(self, name) is not None}
        return replace(self, **changed)

    def summary(self, limit: int = 5) -> str:
        """The best names on a line."""
        if self.label_map is not None:
            return shares_summary(self.names, self.shares.tolist(), limit)
        return instances_summary(self.names, self.scores.tolist(), limit)

    def picture(self, max_labels: int = MAX_LABELS) -> np.ndarray:
        """Draw it: RGB (H', W', 3) uint8; a segmentation beside its image and with a legend.

        Args:
            max_labels: Most names that are written on the picture, by score; the rest is counted.
        """
        if self.label_map is not None:
            return draw_segmentation(self.image, [LabelledMap("prediction", self.label_map, self.classes)])
        return self.overlay(max_labels)

    def overlay(self, max_labels: int = MAX_LABELS) -> np.ndarray:
        """Draw it on the image, whose shape the picture has: RGB (H', W', 3) uint8.

        Args:
            max_labels: As :meth:`picture`.
        """
        is_map = self.label_map is not None
        regions = detected_regions(
            self.names,
            self.labels.tolist(),
            None if is_map else self.boxes,
            scores=self.shares if is_map else self.scores,
            masks=self.masks,
            points=self.points,
            is_novel=None if self.is_novel is None else self.is_novel.tolist(),
        )
        return draw_named_regions(self.image, regions, max_labels)

    def show(self, wait_time: float = 0) -> None:
        """Show the picture in a window.

        Args:
            wait_time: Seconds that it stays; 0 waits for a key.
        """
        Visualizer().show(self.picture(), win_name=self.path, wait_time=wait_time)

    def save(self, path: str | Path) -> None:
        """Write the picture.

        Args:
            path: ``.png`` or ``.jpg``; its folder is made.

        Raises:
            ValueError: If the path ends otherwise.
        """
        save_picture(self.picture(), path)

    def to_coco(self, image_id: int = 1) -> dict[str, Any]:
        """COCO's format: a dict with ``images``, ``annotations`` (with ``score``) and ``categories``.

        Class ``i`` has the category id ``i + 1``. ``annotations`` alone are what COCO calls results.

        Args:
            image_id: Of this image.

        Raises:
            ValueError: For points, which have no boxes.
        """
        if self.boxes is None:
            raise ValueError(f"{self.path}: points have no boxes, which COCO's format needs")
        height, width = self.image.shape[:2]
        annotations = []
        for index, (label, box) in enumerate(zip(self.labels.tolist(), self.boxes.tolist(), strict=True)):
            left, top, right, bottom = box
            entry: dict[str, Any] = dict(
                id=index + 1,
                image_id=image_id,
                category_id=label + 1,
                bbox=[left, top, right - left, bottom - top],
                area=(right - left) * (bottom - top),
                iscrowd=0,
                score=None if np.isnan(self.scores[index]) else float(self.scores[index]),
            )
            if self.masks is not None:
                encoded = coco_masks.encode(np.asfortranarray(self.masks[index].astype(np.uint8)))
                entry["segmentation"] = dict(size=encoded["size"], counts=encoded["counts"].decode())
                entry["area"] = float(self.masks[index].sum())
            annotations.append(entry)
        return dict(
            images=[dict(id=image_id, file_name=self.path, height=height, width=width)],
            annotations=annotations,
            categories=[dict(id=label + 1, name=name) for label, name in enumerate(self.classes)],
        )

    def to_supervision(self) -> Any:
        """``supervision.Detections`` of the entries, with ``class_name``.

        Raises:
            ImportError: If the package supervision is not installed.
            ValueError: For points, which have no boxes.
        """
        if self.boxes is None:
            raise ValueError(f"{self.path}: points have no boxes, which supervision.Detections needs")
        try:
            import supervision
        except ImportError as error:
            raise ImportError("to_supervision() needs the package supervision: pip install supervision") from error
        return supervision.Detections(
            xyxy=self.boxes,
            mask=self.masks,
            confidence=self.scores,
            class_id=self.labels,
            data={"class_name": np.array(self.names, dtype=str)},
        )


def save_picture(picture: np.ndarray, path: str | Path) -> None:
    """Write an RGB picture, whole or not at all; its folder is made.

    Raises:
        ValueError: If the path ends neither in .png nor in .jpg.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ValueError(f"pictures are written as .png or .jpg, not {path.name!r}")
    with atomic_write(path) as partial:
        mmcv.imwrite(picture[..., ::-1], str(partial))


def _score_sums(sample: Any, label_map: np.ndarray, num_classes: int) -> np.ndarray | None:
    """Sum over the pixels of each class of what the model gives that class there, (K,)."""
    if "pred_scores" in sample:
        scores = sample.pred_scores.data[0].cpu().numpy()
    elif "seg_logits" in sample:
        logits = sample.seg_logits.data.cpu()
        scores = logits.gather(0, torch.from_numpy(label_map)[None].clamp(max=len(logits) - 1))[0].numpy()
    else:
        return None
    return np.bincount(label_map.ravel(), scores.astype(np.float64).ravel(), minlength=num_classes)[:num_classes]


def _extent(mask: np.ndarray) -> Sequence[float]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
