"""All figures of a checkpoint at any weights of its ensemble: one file, one model, images prepared once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from torch import Tensor

from densevlm_mm.analysis.models import AnalysisModel, ModelSource
from densevlm_mm.analysis.prepared_batches import PreparedBatches, SharedBatches
from densevlm_mm.analysis.region_scores import check_vocabulary
from densevlm_mm.analysis.retention import WholeImageTask, default_captions, embed_images, whole_image_loader
from densevlm_mm.analysis.tradeoff import dense_mean
from densevlm_mm.apis import check_inputs
from densevlm_mm.checkpoint_files import check_finite, find_state_dict, read_checkpoint
from densevlm_mm.models.clip.state_dict_mismatch import StateDictMismatch
from densevlm_mm.models.pretrainers import RegionPretrainer

REGION_FIGURES = (
    *("dense_mean", "boxes_top1", "masks_t_top1", "masks_s_top1"),
    *("foreground_bias", "things_called_stuff", "offset_control", "coherence_auc"),
)
WHOLE_IMAGE_FIGURES = ("class_top1", "class_chance", "image_to_text_r1", "text_to_image_r1")


class Ensemble(NamedTuple):
    """Weights of the trained parameters: of the first block, of the last block and of all outside of the blocks."""

    first: float
    last: float

    @classmethod
    def of(cls, alpha: float | Mapping[str, float]) -> "Ensemble":
        """What the ``alpha`` of a :class:`WeightEnsembleHook` says."""
        if isinstance(alpha, Mapping):
            return cls(float(alpha["first"]), float(alpha["last"]))
        return cls(float(alpha), float(alpha))


@dataclass(frozen=True, eq=False)
class TrainedWeights:
    """What a runner checkpoint holds: raw weights, and those that training started from.

    Args:
        raw: State dict of the model.
        initial: Its floating-point entries before training.
        own: The ensemble that evaluation and export use.
    """

    raw: dict[str, Tensor]
    initial: dict[str, Tensor]
    own: Ensemble

    @classmethod
    def read(cls, path: str | Path, verify: bool = True) -> "TrainedWeights":
        """Read a checkpoint.

        Args:
            path: Of tools/train.py.
            verify: False maps the file instead of reading it, to find out whether it is the right kind.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is damaged or holds no initial weights.
        """
        content = read_checkpoint(path, verify=verify).content
        ensemble = content.get("weight_ensemble") if isinstance(content, Mapping) else None
        if not ensemble or ensemble.get("initial_state_dict") is None or ensemble.get("alpha") is None:
            raise ValueError(
                f"{path} holds no initial weights beside the trained ones, so that there is nothing between them: give "
                "a checkpoint of tools/train.py whose config has a WeightEnsembleHook"
            )
        if verify:
            check_finite(content, str(path))
        initial = {key.removeprefix("module."): value for key, value in ensemble["initial_state_dict"].items()}
        return cls(find_state_dict(content, str(path)), initial, Ensemble.of(ensemble["alpha"]))


class AlphaSweep:
    """Evaluates a checkpoint at any ensemble of its trained and initial weights.

    Args:
        source: Config and checkpoint.
        prepared: Keeps images for other sweeps over the same data.
        captions: Captions file; default: the one beside the config's panoptic file, see :func:`default_captions`.
        caption_images: Folder of the captioned images; default: the test images'.
        with_captions: False leaves retrieval out.
        cfg_options: See :class:`AnalysisModel`.
        device: See :class:`AnalysisModel`.

    Raises:
        FileNotFoundError: If data or weights are missing.
        ValueError: If the checkpoint holds no initial weights or does not fit the config's model, or data is wrong.

    Example:
        >>> sweep = AlphaSweep(ModelSource("a", "work_dirs/densevlm/iter_300.pth", "configs/tiny/densevlm.py"))
        >>> sweep.evaluate(Ensemble.of(0.5))["text_to_image_r1"]
    """

    def __init__(
        self,
        source: ModelSource,
        prepared: PreparedBatches | None = None,
        captions: str | Path | None = None,
        caption_images: str | Path | None = None,
        with_captions: bool = True,
        cfg_options: dict[str, Any] | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        self.source = source
        self.weights = TrainedWeights.read(source.checkpoint)
        self.model = AnalysisModel(source, cfg_options, device)
        check_inputs(self.model.cfg, "test")
        self._pretrainer = self.model.build_pretrainer()
        self.model.encoder = self._pretrainer.encoder  # one of the two towers is enough
        mismatch = StateDictMismatch.between(self._pretrainer.state_dict(), self.weights.raw)
        mismatch = mismatch or StateDictMismatch.between(self.weights.initial, self.weights.raw).without(
            unexpected=[key for key, value in self.weights.raw.items() if not value.is_floating_point()]
        )
        if mismatch:
            raise ValueError(f"{source.checkpoint} does not fit {source.config}: {mismatch}")
        self._prepared = prepared or PreparedBatches(2 * 1024**3)
        file, images = default_captions(self.model.cfg)
        captioned = (captions or file, caption_images or images) if with_captions else None
        self._task = WholeImageTask(self.model, captioned)
        self._figures: dict[Ensemble, dict[str, float]] = {}

    @property
    def own(self) -> Ensemble:
        """The ensemble that tools/test.py evaluates."""
        return self.weights.own

    @cached_property
    def _regions(self) -> SharedBatches:
        options = self.model.cfg.test_dataloader
        batches = self._prepared.batches(
            f"regions {json.dumps(options.to_dict(), sort_keys=True, default=str)}",
            lambda: Runner.build_dataloader(options, seed=0),
        )
        check_vocabulary(self.model, self._pretrainer.predicted_classes(), batches.dataset.metainfo["classes"])
        return batches

    @cached_property
    def _whole_images(self) -> SharedBatches:
        options, encoder = self.model.cfg.test_dataloader, self.model.encoder
        return self._prepared.batches(
            f"images {encoder.image_size} {encoder.preprocess_cfg} {self._task.paths}",
            lambda: whole_image_loader(self.model, self._task.paths, options.batch_size, options.get("num_workers", 0)),
        )

    @cached_property
    def _evaluator(self) -> Evaluator:
        """The config's own metrics, without files."""
        metrics = self.model.cfg.test_evaluator
        evaluator = Evaluator(metrics)
        for metric in evaluator.metrics:
            if hasattr(metric, "outfile_prefix"):
                metric.outfile_prefix = None
        evaluator.dataset_meta = self._regions.dataset.metainfo
        return evaluator

    def evaluate(self, ensemble: Ensemble) -> dict[str, float]:
        """Figures of an ensemble, those of `REGION_FIGURES` and `WHOLE_IMAGE_FIGURES` that there are; kept.

        Args:
            ensemble: Weights of the trained parameters. (0, 0) is exactly the initial model, (1, 1) the raw weights.
        """
        if ensemble not in self._figures:
            self._load(ensemble)
            figures = self._region_figures()
            figures["dense_mean"] = dense_mean(figures)
            figures |= self._task.score(embed_images(self.model.encoder, self._whole_images))
            self._figures[ensemble] = {
                name: figures[name] for name in (*REGION_FIGURES, *WHOLE_IMAGE_FIGURES) if name in figures
            }
        return dict(self._figures[ensemble])

    def two_encoders(self, ensemble: Ensemble | None = None) -> dict[str, float]:
        """Figures of whoever keeps two encoders: regions from the trained one, whole images from the initial one.

        Args:
            ensemble: Of the trained one; default: the checkpoint's own.
        """
        trained, initial = self.evaluate(ensemble or self.own), self.evaluate(Ensemble(0.0, 0.0))
        return {name: (initial if name in WHOLE_IMAGE_FIGURES else trained)[name] for name in trained}

    def _load(self, ensemble: Ensemble) -> None:
        factors = depth_factors(self._pretrainer, ensemble)
        blended = {
            # lerp is exact where nothing changed and for 0 and 1.
            name: torch.lerp(self.weights.initial[name].to(raw), raw, factors[name])
            if name in self.weights.initial
            else raw
            for name, raw in self.weights.raw.items()
        }
        self._pretrainer.load_state_dict(blended)

    @torch.no_grad()
    def _region_figures(self) -> dict[str, float]:
        evaluator = self._evaluator
        for batch in self._regions:
            # The batch is used again: the model gets samples that it may write to.
            inner = dict(batch, data_samples=[sample.new() for sample in batch["data_samples"]])
            evaluator.process(data_samples=self._pretrainer.test_step(inner), data_batch=batch)
        metrics = evaluator.evaluate(len(self._regions.dataset))
        return {name.rpartition("/")[2]: float(value) for name, value in metrics.items()}


def depth_factors(pretrainer: RegionPretrainer, ensemble: Ensemble) -> dict[str, float]:
    """The weight of every trained parameter: from the first to the last block in equal steps, outside that of the last.

    Args:
        pretrainer: Its ``encoder`` has the blocks.
        ensemble: Of the first and the last block.

    Returns:
        Names of the state dict to factors.
    """
    blocks = pretrainer.encoder.blocks
    index_of = {id(block): index for index, block in enumerate(blocks)}
    factors = dict.fromkeys(pretrainer.state_dict(), ensemble.last)
    for prefix, module in pretrainer.named_modules():
        if (index := index_of.get(id(module))) is not None:
            step = (ensemble.last - ensemble.first) * index / max(len(blocks) - 1, 1)
            factors |= {name: ensemble.first + step for name in factors if name.startswith(f"{prefix}.")}
    return factors
