"""The class scores of every annotated region of a data set: one forward pass that several analyses share."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

import densevlm_mm
from densevlm_mm.analysis.models import AnalysisModel
from densevlm_mm.apis import check_inputs
from densevlm_mm.evaluation import RegionClassificationMetric
from densevlm_mm.models.text.checkpoint_digest import checkpoint_digest
from densevlm_mm.vocabulary import Vocabulary

FILE_FORMAT = "densevlm_mm.region_scores.v2"


@dataclass(frozen=True, eq=False)
class RegionScores:
    """N annotated regions of a data set and their cosines with K classes.

    Args:
        vocabulary: The K classes, with thing flags.
        labels: (N,) int64.
        box_scores: (N, K) float32, of box features.
        mask_scores: (N, K) float32, of mask features.
        mask_empty: (N,) bool, masks without a cell on the feature grid; their scores are 0 and say nothing.
        coherence: (I,) float32, ``coherence_auc`` of the images for which it is known, NaN where it is not defined.
    """

    vocabulary: Vocabulary
    labels: Tensor
    box_scores: Tensor
    mask_scores: Tensor
    mask_empty: Tensor
    coherence: Tensor = field(default_factory=lambda: torch.zeros(0))

    @property
    def is_thing(self) -> Tensor:
        """Kind of each region's class, (N,) bool."""
        return torch.from_numpy(np.array(self.vocabulary.thing_mask))[self.labels]

    def scores(self, by: str) -> Tensor:
        """Cosines (N, K) by ``'masks'`` or ``'boxes'``.

        Raises:
            ValueError: If ``by`` is something else.
        """
        if by not in ("masks", "boxes"):
            raise ValueError(f"regions are classified by 'masks' or 'boxes', not {by!r}")
        return self.mask_scores if by == "masks" else self.box_scores

    def predictions(self, by: str) -> Tensor:
        """Best class of each region, (N,) int64; -1 for a mask without a cell."""
        best = self.scores(by).argmax(dim=1)
        return best.masked_fill(self.mask_empty, -1) if by == "masks" else best

    def evaluate(self, outfile_prefix: str | None = None) -> dict[str, float]:
        """The figures of tools/test.py, from its own metric.

        Args:
            outfile_prefix: Where to write the per-class table, see :class:`RegionClassificationMetric`.
        """
        metric = RegionClassificationMetric(outfile_prefix=outfile_prefix)
        metric.dataset_meta = dict(classes=self.vocabulary.classes, is_thing=self.vocabulary.thing_mask.tolist())
        sample = dict(
            img_id="all",
            gt_regions=dict(labels=self.labels, masks=~self.mask_empty[:, None, None]),
            pred_regions=dict(box_scores=self.box_scores, mask_scores=self.mask_scores),
        )
        if len(self.coherence):
            sample["coherence_auc"] = self.coherence.nanmean()
        metric.process(None, [sample])
        return metric.compute_metrics(metric.results)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = dict(
            format=FILE_FORMAT,
            vocabulary=self.vocabulary.name,
            classes=json.dumps(self.vocabulary.classes),
            is_thing=json.dumps(self.vocabulary.thing_mask.tolist()),
        )
        tensors = {name: getattr(self, name).contiguous() for name in _TENSORS}
        partial = path.with_name(f".{path.name}.partial")
        save_file(tensors, partial, metadata)
        partial.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> "RegionScores":
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: If it does not exist.
            ValueError: If it is something else.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no file of region scores {path}")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FILE_FORMAT:
                    raise ValueError(f"{path} holds no region scores (format {metadata.get('format')!r})")
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
        except SafetensorError as error:
            raise ValueError(f"{path} is no safetensors file or is damaged ({error}): delete it") from error
        classes = tuple(json.loads(metadata["classes"]))
        flags = np.array(json.loads(metadata["is_thing"]), dtype=bool)
        vocabulary = Vocabulary(metadata["vocabulary"], classes, tuple((name,) for name in classes), flags)
        return cls(vocabulary, **tensors)


_TENSORS = ("labels", "box_scores", "mask_scores", "mask_empty", "coherence")


@torch.no_grad()
def collect_region_scores(
    model: AnalysisModel, cache_dir: str | Path | None = None, track: Callable[[Iterable], Iterable] = iter
) -> RegionScores:
    """Classify the regions of the config's test data, as tools/test.py does.

    Args:
        model: What to classify with.
        cache_dir: Keep the scores in this folder, and take them from there if model, weights, data set and annotation
            file are the same (images are not compared).
        track: Wraps the iteration over the batches, for a progress bar.

    Raises:
        MissingInputsError: If data or weights are missing.
        ValueError: If the model's vocabulary is not the data set's.
    """
    check_inputs(model.cfg, "test")
    cached = None if cache_dir is None else _cache_file(model.cfg, Path(cache_dir))
    if cached is not None and cached.is_file():
        return RegionScores.load(cached)
    pretrainer = model.build_pretrainer()
    dataloader = Runner.build_dataloader(model.cfg.test_dataloader, seed=0)
    meta = dataloader.dataset.metainfo
    check_vocabulary(model, pretrainer.predicted_classes(), meta["classes"])
    parts: dict[str, list[Tensor]] = {name: [] for name in _TENSORS}
    for batch in track(dataloader):
        for sample in pretrainer.test_step(batch):
            parts["labels"].append(sample.gt_regions.labels.cpu())
            parts["box_scores"].append(sample.pred_regions.box_scores.cpu())
            parts["mask_scores"].append(sample.pred_regions.mask_scores.cpu())
            parts["mask_empty"].append(~sample.gt_regions.masks.flatten(1).any(dim=1).cpu())
            known = [sample.coherence_auc] if "coherence_auc" in sample else []
            parts["coherence"].append(torch.tensor([float(value) for value in known]))
    classes = tuple(meta["classes"])
    vocabulary = Vocabulary(
        meta["vocabulary_name"], classes, tuple((name,) for name in classes), np.array(meta["is_thing"])
    )
    scores = RegionScores(vocabulary, **{name: torch.cat(tensors) for name, tensors in parts.items()})
    if cached is not None:
        scores.save(cached)
    return scores


def check_vocabulary(model: AnalysisModel, classes: Sequence[str], wanted: Sequence[str]) -> None:
    """Check that a model classifies into the classes of the test data.

    Args:
        model: For the message.
        classes: The model's.
        wanted: The data set's.

    Raises:
        ValueError: If not.
    """
    if tuple(classes) != tuple(wanted):
        raise ValueError(
            f"{model.cfg.filename}: the model has {len(classes)} classes ({', '.join(classes[:3])}, ...) and the test "
            f"data {len(wanted)} ({', '.join(wanted[:3])}, ...): set model.test_class_embeddings.vocabulary"
        )


def _cache_file(cfg: Config, cache_dir: Path) -> Path:
    """Named by all that the scores depend on: code version, model, weights, data set, annotations."""
    dataset = cfg.test_dataloader.dataset
    annotations = Path(dataset.get("data_root", "")) / dataset.ann_file
    weights = {str(value) for value in _values(cfg.model.to_dict()) if isinstance(value, str) and Path(value).is_file()}
    key = dict(
        format=FILE_FORMAT,
        version=densevlm_mm.__version__,
        model=cfg.model.to_dict(),
        dataset=dataset.to_dict(),
        files={path: checkpoint_digest(path, cache_dir) for path in sorted({*weights, str(annotations)})},
    )
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
    return cache_dir / f"{Path(str(cfg.filename)).stem}_{digest[:20]}.safetensors"


def _values(node: object) -> Iterable[object]:
    if isinstance(node, dict):
        for value in node.values():
            yield from _values(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _values(value)
    else:
        yield node
