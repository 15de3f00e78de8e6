"""Predictions on images without ground truth, written with the names of their classes."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine import fileio
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from densevlm_mm.registry import METRICS


@METRICS.register_module()
class PredictionRecorder(BaseMetric):
    """Write what a detector or segmentor predicts to ``out_dir/predictions.json``; there is nothing to compare it with.

    One record an image: ``img_path``, and ``detections`` (``name``, ``score``, ``bbox_xyxy`` in pixels of the image,
    ``is_novel`` where known), or ``segments`` (``name`` and ``share`` of the image) with the path of a ``label_map``:
    a PNG of labels, 16 bits deep for more than 256 classes.

    Args:
        out_dir: Folder of the results.
        collect_device: As in mmengine's ``BaseMetric``.
    """

    default_prefix = "predictions"

    def __init__(self, out_dir: str, collect_device: str = "cpu") -> None:
        super().__init__(collect_device=collect_device)
        self.out_dir = Path(out_dir)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take down the predictions of a batch.

        Args:
            data_batch: Not read.
            data_samples: With ``pred_instances``, or ``pred_sem_seg`` and ``vocabulary_classes``.
        """
        for sample in data_samples:
            record: dict[str, Any] = dict(img_path=sample["img_path"])
            if "pred_instances" in sample:
                record["detections"] = _detections(sample["pred_instances"])
            if "pred_sem_seg" in sample:
                record.update(self._segments(sample))
            self.results.append(record)

    def _segments(self, sample: dict) -> dict[str, Any]:
        labels = sample["pred_sem_seg"]["data"].squeeze(0).cpu().numpy()
        names = sample["vocabulary_classes"]
        path = self.out_dir / "label_maps" / f"{Path(sample['img_path']).stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), labels.astype(np.uint8 if len(names) <= 256 else np.uint16))
        shares = np.bincount(labels.ravel(), minlength=len(names)) / labels.size
        order = [label for label in np.argsort(-shares) if shares[label]]
        segments = [dict(name=names[label], share=round(float(shares[label]), 6)) for label in order]
        return dict(segments=segments, label_map=str(path))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Write the file; log how often each class was found.

        Args:
            results: Records, one an image.

        Returns:
            The number of images.
        """
        path = self.out_dir / "predictions.json"
        fileio.put_text("[\n" + ",\n".join(map(json.dumps, results)) + "\n]\n", str(path))  # a line an image
        found = Counter(
            entry["name"] for record in results for entry in record.get("detections", record.get("segments", ()))
        )
        summary = ", ".join(f"{name} {count}" for name, count in found.most_common(20)) or "nothing"
        print_log(f"{path}: {len(results)} images; found {summary}", "current")
        return dict(num_images=len(results))


def _detections(instances: dict) -> list[dict[str, Any]]:
    names = instances["label_names"]
    is_novel = instances["is_novel"].tolist() if "is_novel" in instances else [None] * len(names)
    rows = zip(names, instances["scores"].tolist(), instances["bboxes"].tolist(), is_novel, strict=True)
    return [
        dict(
            name=name,
            score=round(score, 6),
            bbox_xyxy=[round(value, 2) for value in box],
            **({} if novel is None else dict(is_novel=novel)),
        )
        for name, score, box, novel in rows
    ]
