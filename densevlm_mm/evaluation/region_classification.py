"""Region classification: mean accuracy of Boxes, Masks-T and Masks-S, and the foreground bias."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from densevlm_mm.evaluation.class_numbering import model_numbering
from densevlm_mm.evaluation.class_table import WritesClassTable
from densevlm_mm.evaluation.offset_control import best_stuff_offset
from densevlm_mm.registry import METRICS


class _Group(NamedTuple):
    """One of the three groups of regions."""

    key: str
    title: str
    of_things: bool
    score_field: str  # of pred_regions


_GROUPS = (
    _Group("boxes", "Boxes", True, "box"),
    _Group("masks_t", "Masks-T", True, "mask"),
    _Group("masks_s", "Masks-S", False, "mask"),
)


def label_ranks(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Number of other classes that score at least as high as the annotated class; 0 is a correct Top-1.

    Ties count against the label: no class gains from its place in the vocabulary, and a region without a feature is
    wrong.

    Args:
        scores: (N, K).
        labels: (N,) int64.

    Returns:
        (N,) int64, 0 to K - 1.
    """
    return (scores >= scores.gather(1, labels[:, None])).sum(dim=1) - 1


def class_mean_accuracy(correct: np.ndarray, labels: np.ndarray, num_classes: int) -> tuple[float, np.ndarray]:
    """Accuracy per class and its mean over the classes that have samples.

    Args:
        correct: (N,) bool.
        labels: (N,) int.
        num_classes: K.

    Returns:
        Mean in percent, NaN without samples; (K,) percent, NaN for classes without samples.
    """
    totals = np.bincount(labels, minlength=num_classes)
    hits = np.bincount(labels[correct], minlength=num_classes)
    accuracy = np.full(num_classes, np.nan)
    np.divide(100.0 * hits, totals, out=accuracy, where=totals > 0)
    return (float(accuracy[totals > 0].mean()) if len(labels) else float("nan")), accuracy


@METRICS.register_module()
class RegionClassificationMetric(WritesClassTable, BaseMetric):
    """Mean class accuracy of annotated regions, and how the thing/stuff boundary lies.

    Per image it keeps a few numbers a region, so the result is the same for any number of processes. Predictions that
    carry the names of their classes (``vocabulary_classes``) may have them in another order than the data set. All
    figures but the last are percentages or counts:

    - ``boxes_top1/5`` (things, box features), ``masks_t_top1/5`` (things, mask features), ``masks_s_top1/5`` (stuff,
      mask features): mean over the classes that have samples of the per-class accuracy.
    - ``foreground_bias``: stuff masks whose best class is a thing. ``things_called_stuff``: thing masks whose best
      class is stuff. A tie between best thing and best stuff is neither.
    - ``offset_control``: the best mean of Masks-T and Masks-S Top-1 that any constant added to the stuff logits gives;
      ``offset_control_before`` is that mean without a constant and ``offset_control_offset`` the constant. What a
      method gains beyond it is more than a shift of the boundary.
    - ``num_things``, ``num_stuff``: regions; ``num_empty_masks``: regions whose mask has no cell on the feature grid.
    - ``coherence_auc``: how well the cosine of two positions of the dense map tells whether they belong to one segment,
      0 to 1 (see :func:`densevlm_mm.models.layers.coherence_auc`); mean over the images in which there are both pairs
      of one segment and pairs of two. It is there if the predictions have it.

    A group without a sample is logged and its figures are NaN.

    Args:
        outfile_prefix: Where to write the per-class table and the figures: ``<prefix>.csv`` and ``<prefix>.json``;
            ``None`` writes nothing.
        collect_device: As in ``BaseMetric``.
        prefix: As in ``BaseMetric``; default ``region``.
        collect_dir: As in ``BaseMetric``.

    Raises:
        ValueError: Scores are missing, half precision, not finite, or not of the data set's number of classes; the
            data set has no thing flags.
    """

    default_prefix = "region"

    def __init__(
        self,
        outfile_prefix: str | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        self.outfile_prefix = outfile_prefix

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what the figures need of each image.

        Args:
            data_batch: Not used.
            data_samples: Dicts with ``img_id``, ``gt_regions`` and ``pred_regions``, see
                :class:`~densevlm_mm.structures.RegionDataSample`, and perhaps ``vocabulary_classes``.
        """
        is_thing_K = torch.as_tensor(self._is_thing())
        for sample in data_samples:
            self.results.append(_summarise(sample, is_thing_K, self._columns(sample.get("vocabulary_classes"))))

    def _columns(self, names: Sequence[str] | None) -> torch.Tensor | None:
        """Columns of the scores in the order of the data set's classes; None if they are in it."""
        classes = tuple((self.dataset_meta or {})["classes"])
        if names is None or len(names) != len(classes):  # another number is told apart with the scores
            return None
        numbering = model_numbering(tuple(names), classes)
        return None if numbering is None else numbering.argsort()

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Compute the figures.

        Args:
            results: One dict an image.

        Returns:
            The figures, without prefix.

        Raises:
            ValueError: There is no region at all.
        """
        if not results or not any(len(result["labels"]) for result in results):
            raise ValueError(
                "no annotated region to score: check the data set and the size filter of LoadPanopticRegions"
            )
        of_images = ("img_id", "coherence_auc")
        regions = {
            key: np.concatenate([result[key] for result in results]) for key in results[0] if key not in of_images
        }
        names = list((self.dataset_meta or {})["classes"])
        table: dict[str, np.ndarray] = {}
        metrics: dict[str, float] = {}
        for group in _GROUPS:
            rows = regions["is_thing"] == group.of_things
            labels, ranks = regions["labels"][rows], regions[f"{group.score_field}_rank"][rows]
            if not rows.any():
                kind = "thing" if group.of_things else "stuff"
                print_log(f"{group.title}: absent, there is no {kind} region", "current", logging.WARNING)
            for top in (1, 5):
                key = f"{group.key}_top{top}"
                metrics[key], table[key] = class_mean_accuracy(ranks < top, labels, len(names))
        metrics |= _boundary_figures(regions, len(names))
        metrics |= dict(
            num_things=int(regions["is_thing"].sum()),
            num_stuff=int((~regions["is_thing"]).sum()),
            num_empty_masks=int(regions["mask_empty"].sum()),
        )
        metrics |= _coherence([result["coherence_auc"] for result in results])
        self.num_regions = len(regions["labels"])
        print_log(_report(metrics), "current")
        counts = np.bincount(regions["labels"], minlength=len(names))
        columns: dict[str, Any] = dict(name=names, is_thing=self._is_thing(), num_regions=counts)
        self.write_class_table(metrics, columns | table)
        return metrics

    def _is_thing(self) -> np.ndarray:
        meta = self.dataset_meta or {}
        if "is_thing" not in meta or len(meta["is_thing"]) != len(meta.get("classes", ())):
            raise ValueError(
                f"the data set's metainfo must have 'classes' and as many 'is_thing' flags, but has {sorted(meta)}: "
                "evaluate on a "
                "PanopticRegionDataset"
            )
        return np.asarray(meta["is_thing"], dtype=bool)


def _summarise(sample: dict, is_thing_K: torch.Tensor, columns_K: torch.Tensor | None) -> dict[str, Any]:
    """Reduce one image's scores to ranks and best scores; the arrays have one entry a region."""
    gt, img_id = sample["gt_regions"], sample.get("img_id")
    if "pred_regions" not in sample:
        raise ValueError(f"image {img_id} has no 'pred_regions': the model's predict mode must write them")
    labels = gt["labels"].cpu()
    coherence = sample.get("coherence_auc")
    summary: dict[str, Any] = dict(img_id=img_id, labels=labels.numpy(), is_thing=is_thing_K[labels].numpy())
    summary["coherence_auc"] = None if coherence is None else float(coherence)
    summary["mask_empty"] = (~gt["masks"].flatten(1).any(dim=1)).cpu().numpy()
    scores = {}
    for field in ("box", "mask"):
        scores[field] = _checked_scores(
            sample["pred_regions"][f"{field}_scores"],
            f"{field}_scores of image {img_id}",
            (len(labels), len(is_thing_K)),
        )
        if columns_K is not None:
            scores[field] = scores[field][:, columns_K]
        summary[f"{field}_rank"] = label_ranks(scores[field], labels).numpy()
    things = scores["mask"].masked_fill(~is_thing_K, -torch.inf)
    stuff = scores["mask"].masked_fill(is_thing_K, -torch.inf)
    # inf - inf cannot occur: a class is a thing or stuff. With classes of one kind only the margin is +-inf, as it
    # should be.
    margins = (
        things.double().amax(dim=1) - stuff.double().amax(dim=1) if len(labels) else torch.zeros(0, dtype=torch.float64)
    )
    own_kind = torch.where(is_thing_K[labels][:, None], things, stuff)
    summary["margin"] = margins.numpy()
    summary["best_of_kind"] = (label_ranks(own_kind, labels) == 0).numpy()
    return summary


def _checked_scores(scores: torch.Tensor, what: str, shape: tuple[int, int]) -> torch.Tensor:
    if tuple(scores.shape) != shape:
        raise ValueError(
            f"{what} have shape {tuple(scores.shape)}, not (regions, classes) = {shape}: other vocabulary?"
        )
    if scores.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{what} are {scores.dtype}, too coarse to tell classes apart: compute cosines in float32")
    if not scores.isfinite().all():
        raise ValueError(f"{what} are not finite: has the training diverged?")
    return scores.cpu()


def _boundary_figures(regions: dict[str, np.ndarray], num_classes: int) -> dict[str, float]:
    is_thing, margin = regions["is_thing"], regions["margin"]

    def percent(flags: np.ndarray) -> float:
        return 100.0 * float(flags.mean()) if len(flags) else float("nan")

    control = best_stuff_offset(margin, regions["best_of_kind"], is_thing, regions["labels"], num_classes)
    return dict(
        foreground_bias=percent(margin[~is_thing] > 0),
        things_called_stuff=percent(margin[is_thing] < 0),
        offset_control=control.best,
        offset_control_before=control.before,
        offset_control_offset=control.offset,
    )


def _coherence(of_images: Sequence[float | None]) -> dict[str, float]:
    """Mean over images, those without pairs of both kinds (NaN) left out; nothing if no image says it."""
    known = np.array([value for value in of_images if value is not None])
    if not len(known):
        return {}
    defined = known[~np.isnan(known)]
    return dict(coherence_auc=float(defined.mean()) if len(defined) else float("nan"))


def _report(metrics: dict[str, float]) -> str:
    lines = ["region classification (mean accuracy, %)", f"{'':10}{'Top-1':>8}{'Top-5':>8}{'regions':>10}"]
    for group in _GROUPS:
        count = metrics["num_things" if group.of_things else "num_stuff"]
        lines.append(
            f"{group.title:10}{metrics[f'{group.key}_top1']:8.2f}{metrics[f'{group.key}_top5']:8.2f}{count:10d}"
        )
    lines.append(
        f"stuff called things (foreground bias) {metrics['foreground_bias']:.2f}, "
        f"things called stuff {metrics['things_called_stuff']:.2f}"
    )
    lines.append(
        f"mean of Masks-T and Masks-S {metrics['offset_control_before']:.2f}, with the best constant added to the "
        "stuff logits "
        f"({metrics['offset_control_offset']:+.3f}) {metrics['offset_control']:.2f}"
    )
    if "coherence_auc" in metrics:
        lines.append(
            f"coherence of the dense map {metrics['coherence_auc']:.4f} (ROC-AUC of 'same segment' by the cosine of "
            "two positions; noise 0.5)"
        )
    if metrics["num_empty_masks"]:
        lines.append(f"{metrics['num_empty_masks']} masks are too small for the feature grid and count as wrong")
    return "\n".join(lines)
