"""Predictions on images without ground truth, written with the names of their classes."""

import json
import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log

from densevlm_mm.evaluation.label_maps import write_label_map
from densevlm_mm.files import atomic_write
from densevlm_mm.models.open_vocabulary import class_names, instance_names
from densevlm_mm.output_names import OutputFolder
from densevlm_mm.registry import METRICS
from densevlm_mm.tables import json_text, write_json

_SHOWN = 5  # names of an image's line, and unreadable images of the summary: the rest is in the files


@METRICS.register_module()
class PredictionRecorder(BaseMetric):
    """Write what a detector or segmentor predicts to ``out_dir/predictions.json``; there is nothing to compare it with.

    One record an image, in the order of the data set: ``img_path``, and ``detections`` (``name``, ``score``,
    ``bbox_xyxy`` in pixels of the image, ``is_novel`` where known), or ``segments`` (``name`` and ``share`` of the
    image) with the path of a ``label_map``: a PNG of labels, 16 bits deep for more than 256 classes. Images that could
    not be read are listed in ``skipped.json``, with ``img_path`` and ``reason``.

    Every image's record is on its way to the disk before the next image: ``predictions.jsonl``, a record a line, and
    ``predictions.<n>.jsonl`` of the n-th process. A run that is killed leaves these; one that ends well makes the two
    JSON files of them. Each image has a line on a :func:`~densevlm_mm.engine.quiet_console.quiet_console`.

    Args:
        out_dir: Folder of the results; those of an earlier run are replaced.
        score_thr: Only detections with a higher score are written.
        collect_device: As in mmengine's ``BaseMetric``.

    Raises:
        ValueError: If a score is not finite, or the classes have no names.
    """

    default_prefix = "predictions"

    def __init__(self, out_dir: str, score_thr: float = 0.0, collect_device: str = "cpu") -> None:
        super().__init__(collect_device=collect_device)
        self.out_dir = Path(out_dir)
        self.score_thr = score_thr
        self._label_maps = OutputFolder(self.out_dir / "label_maps")
        self._part: BinaryIO | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Write the predictions of a batch.

        Args:
            data_batch: Not read.
            data_samples: With ``pred_instances``, or ``pred_sem_seg``; or with ``unreadable``, the reason.
        """
        for sample in data_samples:
            record: dict[str, Any] = dict(img_path=sample["img_path"])
            if "unreadable" in sample:
                record["reason"] = sample["unreadable"]
                _tell(f"skipped {_located(record)}")
            else:
                record |= self._predictions(sample)
                _tell(f"{sample.get('output_name') or record['img_path']}: {_summary(record)}")
            self._write(record)

    def _predictions(self, sample: dict) -> dict[str, Any]:
        record: dict[str, Any] = {}
        if "pred_instances" in sample:
            record["detections"] = self._detections(sample)
        if "pred_sem_seg" in sample:
            labels = sample["pred_sem_seg"]["data"].squeeze(0).cpu().numpy()
            names = class_names(sample, self.dataset_meta)
            path = self._label_maps.path(sample, ".png")
            write_label_map(path, labels, len(names))
            shares = np.bincount(labels.ravel(), minlength=len(names)) / labels.size
            order = [label for label in np.argsort(-shares, kind="stable") if shares[label]]
            record["segments"] = [dict(name=names[label], share=round(float(shares[label]), 6)) for label in order]
            record["label_map"] = str(path)
        return record

    def _detections(self, sample: dict) -> list[dict[str, Any]]:
        instances = sample["pred_instances"]
        scores, boxes = instances["scores"], instances["bboxes"]
        if not (torch.isfinite(scores).all() and torch.isfinite(boxes).all()):
            raise ValueError(f"{sample['img_path']}: scores or boxes are not finite: are the weights, and the image?")
        names, is_novel = instance_names(instances, self.dataset_meta)
        rows = zip(names, scores.tolist(), boxes.tolist(), is_novel, strict=True)
        return [
            dict(
                name=name,
                score=round(score, 6),
                bbox_xyxy=[round(value, 2) for value in box],
                **({} if novel is None else dict(is_novel=novel)),
            )
            for name, score, box, novel in rows
            if score > self.score_thr
        ]

    def _write(self, record: dict[str, Any]) -> None:
        if self._part is None:
            self.out_dir.mkdir(parents=True, exist_ok=True)
            if is_main_process():
                self._remove_earlier_results()
            self._part = self._part_path(get_rank()).open("wb")
        self.results.append((get_rank(), self._part.tell()))
        self._part.write(json_text(record).encode() + b"\n")
        self._part.flush()

    def _part_path(self, rank: int) -> Path:
        return self.out_dir / ("predictions.jsonl" if rank == 0 else f"predictions.{rank}.jsonl")

    def _remove_earlier_results(self) -> None:
        current = {self._part_path(rank) for rank in range(get_world_size())}  # the other processes write theirs
        earlier = {self.out_dir / "predictions.json", self.out_dir / "skipped.json"}
        earlier |= set(self.out_dir.glob("predictions*.jsonl")) - current
        if found := sorted(path.name for path in earlier if path.exists()):
            print_log(f"{self.out_dir}: replacing {', '.join(found)} of an earlier run", "current", logging.WARNING)
        for path in earlier:
            path.unlink(missing_ok=True)

    def evaluate(self, size: int) -> dict[str, float]:
        """Make the results' files.

        Args:
            size: Number of images.
        """
        if self._part is not None:
            self._part.close()
            self._part = None
        return super().evaluate(size)

    def compute_metrics(self, results: list[tuple[int, int]]) -> dict[str, float]:
        """Write the files; log how often each class was found, and what was skipped.

        Args:
            results: Process and place in its part of each image's record.

        Returns:
            ``num_images`` with predictions, and ``num_skipped`` if some could not be read.
        """
        skipped: list[dict[str, Any]] = []
        found: Counter[str] = Counter()
        path = self.out_dir / "predictions.json"
        with atomic_write(path) as partial, partial.open("wb") as file:
            written = 0
            for line in self._lines(results):
                record = json.loads(line)
                if "reason" in record:
                    skipped.append(record)
                    continue
                found.update(entry["name"] for entry in record.get("detections", record.get("segments", ())))
                file.write((b",\n" if written else b"[\n") + line.rstrip(b"\n"))  # a line an image
                written += 1
            file.write(b"\n]\n" if written else b"[]\n")
        for rank in {rank for rank, _ in results}:
            self._part_path(rank).unlink()
        names = ", ".join(f"{name} {count}" for name, count in found.most_common(20)) or "nothing"
        _tell(f"{path}: {written} images; found {names}")
        if not skipped:
            return dict(num_images=written)
        self._report_skipped(skipped, len(results))
        return dict(num_images=written, num_skipped=len(skipped))

    def _lines(self, results: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        parts = {rank: self._part_path(rank).open("rb") for rank in {rank for rank, _ in results}}
        try:
            for rank, place in results:
                parts[rank].seek(place)
                yield parts[rank].readline()
        finally:
            for part in parts.values():
                part.close()

    def _report_skipped(self, skipped: Sequence[dict[str, Any]], total: int) -> None:
        path = self.out_dir / "skipped.json"
        write_json(path, skipped)
        lines = [f"  {_located(record)}" for record in skipped[:_SHOWN]]
        lines += [f"  and {len(skipped) - _SHOWN} more"] if len(skipped) > _SHOWN else []
        summary = f"{len(skipped)} of {total} images could not be read and have no prediction, see {path}:"
        print_log("\n".join([summary, *lines]), "current", logging.WARNING)


def instances_summary(names: Sequence[str], scores: Sequence[float], limit: int = _SHOWN) -> str:
    """Names of detections on one line, the best ones first, with how often they are there."""
    best: dict[str, float] = {}
    counts = Counter(names)
    for name, score in zip(names, scores, strict=True):
        best[name] = max(best.get(name, -math.inf), score)
    ordered = sorted(best.items(), key=lambda item: -item[1])
    words = [f"{n} {score:.2f}" + (f" (x{counts[n]})" if counts[n] > 1 else "") for n, score in ordered]
    return _first_words(words, limit)


def shares_summary(names: Sequence[str], shares: Sequence[float], limit: int = _SHOWN) -> str:
    """Names of segments on one line with their shares of the image, in the order given."""
    return _first_words([f"{name} {100 * share:.0f}%" for name, share in zip(names, shares, strict=True)], limit)


def _first_words(words: Sequence[str], limit: int) -> str:
    more = [f"+{len(words) - limit} more"] if len(words) > limit else []
    return ", ".join([*words[:limit], *more]) or "nothing"


def _summary(record: dict[str, Any]) -> str:
    """The names of an image on one line."""
    if "detections" in record:
        entries = record["detections"]
        return instances_summary([entry["name"] for entry in entries], [entry["score"] for entry in entries])
    entries = record.get("segments", ())
    return shares_summary([entry["name"] for entry in entries], [entry["share"] for entry in entries])


def _located(record: dict[str, Any]) -> str:
    path, reason = record["img_path"], record["reason"]
    return reason if path in reason else f"{path}: {reason}"


def _tell(message: str) -> None:
    MMLogger.get_current_instance().info(message, extra=dict(for_console=True))
