"""All figures of a checkpoint at any weights of its ensemble: one file, one model, images prepared once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

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
from densevlm_mm.models.clip.ensemble_alpha import AlphaConfig, EnsembleAlpha
from densevlm_mm.models.clip.state_dict_mismatch import StateDictMismatch

REGION_FIGURES = (
    *("dense_mean", "boxes_top1", "masks_t_top1", "masks_s_top1"),
    *("foreground_bias", "things_called_stuff", "offset_control", "coherence_auc"),
)
WHOLE_IMAGE_FIGURES = ("class_top1", "class_chance", "image_to_text_r1", "text_to_image_r1")


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
    own: EnsembleAlpha

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
        return cls(
            find_state_dict(content, str(path)), initial, EnsembleAlpha.parse(ensemble["alpha"], f"{path}: its alpha")
        )


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
        >>> sweep.evaluate(0.5)["text_to_image_r1"]
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
        self._figures: dict[EnsembleAlpha, dict[str, float]] = {}

    @property
    def own(self) -> EnsembleAlpha:
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

    def evaluate(self, alpha: AlphaConfig | EnsembleAlpha) -> dict[str, float]:
        """Figures of an ensemble, those of `REGION_FIGURES` and `WHOLE_IMAGE_FIGURES` that there are; kept.

        Args:
            alpha: Weight of the trained parameters, see :class:`EnsembleAlpha`. 0 is exactly the initial model and 1
                the trained weights.
        """
        alpha = EnsembleAlpha.parse(alpha)
        if alpha not in self._figures:
            self._load(alpha)
            figures = self._region_figures()
            figures["dense_mean"] = dense_mean(figures)
            figures |= self._task.score(embed_images(self.model.encoder, self._whole_images))
            self._figures[alpha] = {
                name: figures[name] for name in (*REGION_FIGURES, *WHOLE_IMAGE_FIGURES) if name in figures
            }
        return dict(self._figures[alpha])

    def two_encoders(self, alpha: AlphaConfig | EnsembleAlpha | None = None) -> dict[str, float]:
        """Figures of whoever keeps two encoders: regions from the trained one, whole images from the initial one.

        Args:
            alpha: Of the trained one; default: the checkpoint's own.
        """
        trained, initial = self.evaluate(self.own if alpha is None else alpha), self.evaluate(0)
        return {name: (initial if name in WHOLE_IMAGE_FIGURES else trained)[name] for name in trained}

    def _load(self, alpha: EnsembleAlpha) -> None:
        raw = self.weights.raw
        self._pretrainer.load_state_dict({**raw, **alpha.blend(raw, self.weights.initial)})

    @torch.no_grad()
    def _region_figures(self) -> dict[str, float]:
        evaluator = self._evaluator
        for batch in self._regions:
            # The batch is used again: the model gets samples that it may write to.
            inner = dict(batch, data_samples=[sample.new() for sample in batch["data_samples"]])
            evaluator.process(data_samples=self._pretrainer.test_step(inner), data_batch=batch)
        metrics = evaluator.evaluate(len(self._regions.dataset))
        return {name.rpartition("/")[2]: float(value) for name, value in metrics.items()}
