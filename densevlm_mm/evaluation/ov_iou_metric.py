"""Mean IoU for open-vocabulary segmentation: all and present classes, things and stuff, seen and unseen names.

Not imported by ``densevlm_mm.evaluation``, since pretraining needs no mmseg. A segmentation config says
``custom_imports = dict(imports=['densevlm_mm.segmentation'])``.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from mmseg.evaluation.metrics import IoUMetric
from mmseg.registry import METRICS

from densevlm_mm.evaluation.class_groups import ClassGroups
from densevlm_mm.evaluation.class_numbering import model_numbering
from densevlm_mm.evaluation.class_table import WritesClassTable
from densevlm_mm.evaluation.label_maps import write_label_map
from densevlm_mm.models.open_vocabulary import class_names
from densevlm_mm.output_names import OutputFolder

_COUNTS = ("intersect", "pred", "label")


@METRICS.register_module()
class OpenVocabularyIoUMetric(WritesClassTable, IoUMetric):
    """mmseg's ``IoUMetric`` with the figures that open-vocabulary segmentation reports; all are percentages.

    Papers differ in which classes the mean of the IoU is taken over, and for PC-459, where 114 of 459 classes have no
    pixel in the validation set, this moves the figure by a third. So all are given:

    - ``mIoU_present``: classes with ground truth (detectron2 since 0.6).
    - ``mIoU_all``: all classes; a class without ground truth has IoU 0.
    - ``mIoU``: mmseg's (and older detectron2's): classes with ground truth or a prediction. It lies between the two,
      and equals ``mIoU_all`` when every class is predicted somewhere.
    - ``aAcc``, ``mAcc``: share of right pixels; mean of the classes' recall.
    - ``mIoU_things``, ``mIoU_stuff``: over present classes, where the vocabulary has thing flags.
    - ``mIoU_seen``, ``mIoU_unseen``: over present classes; a class is seen if one of its names is a name in the
      training vocabulary. Names are the comma-separated synonyms, compared in their normal form (see
      :func:`~densevlm_mm.vocabulary.names.normal_form`), and nothing else: ``wall-brick`` does not make ``wall`` seen.
    - ``num_present``, ``num_seen``, ``num_unseen``: classes with ground truth in each of these groups.

    A group without present class is logged and its figure is NaN. With ``iou_metrics`` mmseg's mDice and mFscore come
    too. Sums are in whole numbers: the figures are the same for any number of processes. Per image only the classes
    that occur in it are kept. Predictions that carry the names of their classes (``vocabulary_classes``) may have them
    in another order than the data set.

    Args:
        ignore_index: Label of pixels that do not count; None takes the data set's, or else 255.
        vocabulary: Packaged vocabulary or file with the data set's classes, for thing flags and synonyms; None: the
            data set's ``is_thing``, if it has it, and its names.
        train_vocabulary: Names seen in training: a packaged vocabulary, a file, or a list of names. None: those that
            the model was trained on, if its predictions carry them (``training_classes``). ``()`` leaves the seen and
            unseen figures out.
        outfile_prefix: Where to write the per-class table and the figures: ``<prefix>.csv`` and ``<prefix>.json``;
            None writes nothing.
        iou_metrics: Of ``mIoU``, ``mDice``, ``mFscore``.
        beta: Of the F-score.
        output_dir: Folder for the predicted label maps, 16-bit where the classes need it.
        format_only: Only write them: without ground truth, or over other classes than the data set's.
        collect_device: As in ``BaseMetric``.
        prefix: As in ``BaseMetric``.

    Raises:
        ValueError: The predictions have other classes than the data set or another size than the ground truth, a label
            is no class, ``ignore_index`` is a class or not the data set's, images were lost on the way, or no pixel
            has a label.

    Example:
        >>> val_evaluator = dict(type='OpenVocabularyIoUMetric', vocabulary='ade20k_847')
    """

    def __init__(
        self,
        ignore_index: int | None = None,
        vocabulary: str | None = None,
        train_vocabulary: str | Sequence[str] | None = None,
        outfile_prefix: str | None = None,
        iou_metrics: str | Sequence[str] = ("mIoU",),
        beta: int = 1,
        output_dir: str | None = None,
        format_only: bool = False,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        metrics = [iou_metrics] if isinstance(iou_metrics, str) else list(iou_metrics)
        unknown = set(metrics) - {"mIoU", "mDice", "mFscore"}
        if unknown or "mIoU" not in metrics:
            raise ValueError(f"iou_metrics {metrics} must have 'mIoU' and may have 'mDice' and 'mFscore'")
        if format_only and output_dir is None:
            raise ValueError("format_only=True needs output_dir, where to write the predictions")
        super().__init__(
            iou_metrics=metrics,
            beta=beta,
            output_dir=output_dir,
            format_only=format_only,
            collect_device=collect_device,
            prefix=prefix,
        )
        self._label_maps = None if output_dir is None else OutputFolder(output_dir)
        self._given_ignore_index = ignore_index
        self.vocabulary = vocabulary
        self.train_vocabulary = train_vocabulary
        self.outfile_prefix = outfile_prefix

    @property
    def dataset_meta(self) -> dict | None:
        """Metainfo of the data set, set by the evaluation loop when it is built."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        self._dataset_meta = dataset_meta
        self.groups = ClassGroups.of(tuple(dataset_meta["classes"]), dataset_meta.get("is_thing"), self.vocabulary)
        if self.train_vocabulary:
            self.groups = self.groups.with_seen(self.train_vocabulary)
        expected = dataset_meta.get("ignore_index")
        given = self._given_ignore_index
        if expected is not None and given not in (None, expected):
            raise ValueError(f"ignore_index of the metric is {given}, but the data set's is {expected}: leave it out")
        self.ignore_index = next(index for index in (given, expected, 255) if index is not None)
        num_classes = len(dataset_meta["classes"])
        if 0 <= self.ignore_index < num_classes:
            raise ValueError(
                f"ignore_index {self.ignore_index} is one of the {num_classes} classes: use 65535 in the data set, the "
                "loader and the metric"
            )

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of each image, and write its prediction if asked to.

        Args:
            data_batch: Not used.
            data_samples: Dicts with ``pred_sem_seg`` and, unless ``format_only``, ``gt_sem_seg``, both with ``data``
                (1, H, W), and ``img_path``.
        """
        num_classes = len(self._dataset_meta["classes"])
        for sample in data_samples:
            pred = sample["pred_sem_seg"]["data"].squeeze(0)
            where = sample.get("img_path", "an image")
            if not self.format_only:
                _check_prediction(sample, pred, num_classes, where)
                pred = self._numbered_as_data_set(sample, pred)
                self._note_training_classes(sample)
                label = sample["gt_sem_seg"]["data"].squeeze(0).to(pred.device)
                _check_ground_truth(label, pred, num_classes, self.ignore_index, where)
                self.results.append(self._count(pred, label, num_classes))
            if self._label_maps is not None:
                self._write_prediction(self._label_maps, pred, sample)

    def _numbered_as_data_set(self, sample: dict, pred: torch.Tensor) -> torch.Tensor:
        """Labels of the data set's classes for a prediction whose vocabulary may have another order."""
        names = sample.get("vocabulary_classes")
        numbering = model_numbering(tuple(names), self.groups.classes, self.groups.synonyms) if names else None
        return pred if numbering is None else numbering.to(pred.device)[pred.long()]

    def _note_training_classes(self, sample: dict) -> None:
        if self.train_vocabulary is None and self.groups.is_seen is None:
            trained = sample.get("training_classes")
            if trained is not None:
                self.groups = self.groups.with_seen(trained)

    def _count(self, pred: torch.Tensor, label: torch.Tensor, num_classes: int) -> np.ndarray:
        """Pixels per class of an image: (4, P) of class, intersection, prediction, label for the P classes in it."""
        intersect, _, area_pred, area_label = self.intersect_and_union(pred, label, num_classes, self.ignore_index)
        classes = torch.nonzero(area_pred + area_label).squeeze(1)
        return torch.stack([classes, *(area[classes] for area in (intersect, area_pred, area_label))]).numpy()

    @staticmethod
    def intersect_and_union(
        pred_label: torch.Tensor, label: torch.Tensor, num_classes: int, ignore_index: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Pixels per class, as in ``IoUMetric`` but in whole numbers.

        Args:
            pred_label: (H, W), 0 to K - 1.
            label: (H, W), 0 to K - 1 or ``ignore_index``.
            num_classes: K.
            ignore_index: Label of pixels that do not count.

        Returns:
            Intersection, union, prediction and label, each (K,) int64 on the CPU.
        """
        counted = label != ignore_index
        pred, label = pred_label[counted].long(), label[counted].long()
        area_pred, area_label, intersect = (
            torch.bincount(values, minlength=num_classes).cpu() for values in (pred, label, label[pred == label])
        )
        return intersect, area_pred + area_label - intersect, area_pred, area_label

    def _write_prediction(self, folder: OutputFolder, pred: torch.Tensor, sample: dict) -> None:
        shift = int(bool(sample.get("reduce_zero_label")))  # back to the numbering of the data set's files
        num_labels = len(class_names(sample, self._dataset_meta)) + shift
        write_label_map(folder.path(sample, ".png"), pred.cpu().numpy() + shift, num_labels)

    def evaluate(self, size: int) -> dict[str, float]:
        """Collect the counts of all processes and compute the figures.

        Args:
            size: Number of images.
        """
        self._num_images = size
        return super().evaluate(size)

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        """Compute the figures.

        Args:
            results: One array (4, P) an image, see ``process``.

        Returns:
            The figures, without prefix.
        """
        if self.format_only:
            print_log(f"predictions written to {self.output_dir}", "current")
            return {}
        self._check_complete(len(results))
        totals = np.zeros((len(_COUNTS), len(self._dataset_meta["classes"])), dtype=np.int64)
        for counts in results:
            totals[:, counts[0]] += counts[1:]
        intersect, area_pred, area_label = totals
        if not area_label.any():
            raise ValueError(
                "no pixel has a label other than ignore_index: look at the label maps and reduce_zero_label"
            )
        # mmseg divides them: whole numbers would give single precision.
        areas = [
            torch.from_numpy(area).double()
            for area in (intersect, area_pred + area_label - intersect, area_pred, area_label)
        ]
        per_class = self.total_area_to_metrics(*areas, self.metrics, None, self.beta)
        figures = {"aAcc": 100.0 * float(per_class.pop("aAcc"))}
        for key, values in per_class.items():
            figures[f"m{key}"] = 100.0 * float(np.nanmean(values))
        present = area_label > 0
        figures |= self._group_figures(100.0 * per_class["IoU"], present)
        table = {key: 100.0 * values for key, values in per_class.items()}
        print_log(_report(figures, self.groups, table, area_label), "current")
        self.write_class_table(
            figures, self.groups.columns() | dict(num_pixels=area_label, num_predicted=area_pred) | table
        )
        return figures

    def _group_figures(self, iou: np.ndarray, present: np.ndarray) -> dict[str, float]:
        """Means over the groups; NaN, and a warning, for one without a present class."""
        known = [("things", "stuff")] if self.groups.is_thing is not None else []
        known += [("seen", "unseen")] if self.groups.is_seen is not None else []
        found = self.groups.figures(iou, present)
        for name in (name for pair in known for name in pair):
            if f"mIoU_{name}" not in found:
                print_log(f"mIoU_{name}: absent, no such class has ground truth", "current", logging.WARNING)
                found[f"mIoU_{name}"] = float("nan")
        return found

    def _check_complete(self, num_results: int) -> None:
        expected = getattr(self, "_num_images", num_results)
        if num_results != expected:
            # mmengine pairs the processes' results and drops what is left over.
            raise ValueError(
                f"results of {num_results} of {expected} images: the sampler must give every process the same number, "
                "padded: use DefaultSampler(shuffle=False), with round_up=True"
            )


def _check_prediction(sample: dict, pred: torch.Tensor, num_classes: int, where: str) -> None:
    logits = sample.get("seg_logits")
    predicted = len(sample["vocabulary_classes"]) if sample.get("vocabulary_classes") is not None else None
    if predicted is None and logits is not None and logits["data"].shape[0] > 1:
        predicted = logits["data"].shape[0]
    if predicted not in (None, num_classes) or (pred.numel() and int(pred.max()) >= num_classes):
        raise ValueError(
            f"{where}: the model predicts over {predicted or int(pred.max()) + 1} classes, the data set has "
            f"{num_classes}: set model.test_class_embeddings.vocabulary (CAT-Seg: "
            "model.test_vocabulary) to the data set's, or "
            "test_evaluator.format_only=True (and its output_dir) to only write predictions"
        )


def _check_ground_truth(
    label: torch.Tensor, pred: torch.Tensor, num_classes: int, ignore_index: int, where: str
) -> None:
    if label.shape != pred.shape:
        raise ValueError(
            f"{where}: the prediction is {tuple(pred.shape)}, the ground truth {tuple(label.shape)}: load the labels "
            "after the resize, so that they keep their size"
        )
    wrong = ((label < 0) | (label >= num_classes)) & (label != ignore_index)
    if wrong.any():
        raise ValueError(
            f"{where}: the ground truth has label {int(label[wrong][0])}, which is none of the {num_classes} classes "
            f"and not ignore_index {ignore_index}: is it the converted label map?"
        )


def _report(figures: dict[str, float], groups: ClassGroups, table: dict[str, np.ndarray], labels: np.ndarray) -> str:
    lines = ["".join(f"{key:>9}" for key in table) + "  class"]
    for row in np.flatnonzero(labels):
        lines.append("".join(f"{values[row]:9.2f}" for values in table.values()) + f"  {groups.classes[row]}")
    absent = len(labels) - int((labels > 0).sum())
    if absent:
        lines.append(f"({absent} classes have no ground truth)")
    lines.append("  ".join(f"{key} {value:.2f}" for key, value in figures.items() if not key.startswith("num_")))
    return "per class results:\n" + "\n".join(lines)
