"""What the figures of an evaluation are of."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmcv.transforms import LoadAnnotations
from mmengine.dist import barrier, is_main_process
from mmengine.fileio import get_text
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel
from mmengine.runner import Runner
from torch import nn

from densevlm_mm.engine.hooks.weight_ensemble import WeightEnsembleHook
from densevlm_mm.engine.pipeline_steps import innermost_dataset, pipeline_steps
from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.evaluation.class_table import WritesClassTable
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.registry import HOOKS
from densevlm_mm.tables import plain, write_json

_GEOMETRY = ("size", "scale", "scales", "keep_ratio", "max_size", "crop_size")


@HOOKS.register_module()
class EvaluationRecordHook(Hook):
    """Say at the end of every evaluation what the figures are of, on one line of the log and in the JSON files.

    The record has ``checkpoint``, ``alpha`` of the weight ensemble, ``encoder``, ``dense_path`` (unless 'residual'),
    ``data`` (annotation file or folder of images), ``data_sha256`` (of that file; of a folder, of the names and sizes
    of its images), ``classes`` (vocabulary, templates, normalization, text model), ``canvas`` (how images are resized,
    padded and cut), ``image_interpolation``, ``mask_interpolation``, ``num_images`` and ``num_regions``, as far as
    there is such a thing. It stands under ``evaluation`` in the file of ``--out FILE.json`` and beside the figures in
    ``<time>.json`` of a test's log. The comparison of a :class:`SynonymTestLoop` stands beside it, under ``synonyms``.

    Args:
        out_file: JSON to write ``metrics`` and ``evaluation`` of a test to, for metrics without a per-class table.
    """

    priority = "LOWEST"  # after the weight ensemble is in the model, and after the logger has written its file

    def __init__(self, out_file: str | None = None) -> None:
        self.out_file = out_file
        self._record: dict[str, Any] = {}

    def before_val_epoch(self, runner: Runner) -> None:
        """Find out what is evaluated."""
        self._hand_to_metrics(runner, runner.val_loop)

    def before_test_epoch(self, runner: Runner) -> None:
        """Find out what is evaluated."""
        self._hand_to_metrics(runner, runner.test_loop)

    def _hand_to_metrics(self, runner: Runner, loop: Any) -> None:
        self._record = evaluation_record(runner, loop.dataloader.dataset)
        for metric in loop.evaluator.metrics:
            if isinstance(metric, WritesClassTable):
                metric.evaluation = self._record

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log the record."""
        self._complete(runner.val_loop)
        runner.logger.info(describe(self._record))

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log the record and put it into the JSON files."""
        self._complete(runner.test_loop)
        runner.logger.info(describe(self._record))
        comparison = getattr(runner.test_loop, "comparison", None)
        compared = {} if comparison is None else dict(synonyms=comparison)
        barrier()  # every process has mmengine's logger write the same file
        if not is_main_process():
            return
        log = Path(runner.log_dir) / f"{runner.timestamp}.json"
        if log.is_file():
            # mmengine writes NaN, which is no JSON, and null in the place of counts.
            figures = json.loads(log.read_text(encoding="utf-8")) | (metrics or {})
            write_json(log, figures | dict(evaluation=self._record) | compared)
        if self.out_file is not None:
            write_json(self.out_file, dict(metrics=metrics or {}, evaluation=self._record) | compared)
        if compared:
            _add_to_class_tables(runner.test_loop, compared)

    def _complete(self, loop: Any) -> None:
        for metric in loop.evaluator.metrics:
            if getattr(metric, "num_regions", None) is not None:
                self._record["num_regions"] = metric.num_regions


def _add_to_class_tables(loop: Any, content: Mapping[str, Any]) -> None:
    """Put what is known after the metrics have written their tables into the JSON files."""
    for metric in loop.evaluator.metrics:
        if isinstance(metric, WritesClassTable) and metric.outfile_prefix is not None:
            file = f"{metric.outfile_prefix}.json"
            write_json(file, {**json.loads(get_text(file)), **content})


def evaluation_record(runner: Runner, dataset: Any) -> dict[str, Any]:
    """What an evaluation of the runner's model on a data set is of; see :class:`EvaluationRecordHook`."""
    model = unwrap_model(runner.model)
    steps = pipeline_steps(dataset)
    record: dict[str, Any] = dict(
        checkpoint=_checkpoint(runner, model),
        alpha=_alpha(runner),
        encoder=_encoder_name(model),
        dense_path=_dense_path(model),
        data=_data(innermost_dataset(dataset)),
        data_sha256=_data_sha256(innermost_dataset(dataset)),
        classes=_classes(runner, model),
        canvas=_canvas(steps, model),
        image_interpolation=_image_interpolation(steps),
        mask_interpolation=_mask_interpolation(steps),
        tta=True if any(isinstance(module, BaseTTAModel) for module in runner.model.modules()) else None,
        num_images=len(dataset),
    )
    return {key: plain(value) for key, value in record.items() if value is not None}


def describe(record: Mapping[str, Any]) -> str:
    """The record on one line."""
    words = []
    for key, value in record.items():
        if isinstance(value, Mapping):
            value = "(" + ", ".join(f"{name} {part}" for name, part in value.items()) + ")"
        words.append(f"{key} {value}")
    return "evaluated: " + "; ".join(words)


def _checkpoint(runner: Runner, model: nn.Module) -> str | None:
    if runner._train_loop is not None and not isinstance(runner._train_loop, dict):
        return f"iteration {runner.iter} of {runner.work_dir}"
    if runner._load_from:
        return str(runner._load_from)
    encoder = _encoder(model)
    return str(encoder.checkpoint) if encoder is not None and encoder.checkpoint else None


def _classes(runner: Runner, model: Any) -> dict[str, Any] | None:
    facts = model.vocabulary_facts() if hasattr(model, "vocabulary_facts") else None
    file = _embedding_file((runner.cfg or {}).get("model"))
    return {**facts, "file": file} if facts is not None and file is not None else facts


def _embedding_file(options: Any) -> str | None:
    """File of class embeddings that a model's config names for predictions; None if they are made of a vocabulary."""
    if not isinstance(options, Mapping):
        return None
    given = options.get("test_class_embeddings") or options.get("class_embeddings")
    if given is not None:
        file = given.get("file") if isinstance(given, Mapping) else given
        return file if isinstance(file, str) else None
    return next((file for part in options.values() if (file := _embedding_file(part)) is not None), None)


def _data(dataset: Any) -> str | None:
    prefix = getattr(dataset, "data_prefix", {})
    return getattr(dataset, "ann_file", None) or prefix.get("img") or prefix.get("img_path") or None


def _data_sha256(dataset: Any) -> str | None:
    """Digest of the annotation file, or of the names and sizes of images that have none; the main process's."""
    if not is_main_process() or not hasattr(dataset, "get_data_info"):
        return None
    annotations = getattr(dataset, "ann_file", None)
    if annotations and Path(annotations).is_file():
        with open(annotations, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    paths = [Path(dataset.get_data_info(index).get("img_path", "")) for index in range(len(dataset))]
    if not all(path.is_file() for path in paths):
        return None  # members of shards
    lines = sorted(f"{path.name} {path.stat().st_size}\n" for path in paths)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _alpha(runner: Runner) -> float | dict[str, float] | None:
    hook = next((hook for hook in runner.hooks if isinstance(hook, WeightEnsembleHook)), None)
    alpha = None if hook is None else hook.applied_alpha
    return None if alpha is None else alpha.config


def _encoder(model: nn.Module) -> DenseImageEncoder | None:
    return next((module for module in model.modules() if isinstance(module, DenseImageEncoder)), None)


def _encoder_name(model: nn.Module) -> str | None:
    encoder = _encoder(model)
    return None if encoder is None else str(encoder.model_name)


def _dense_path(model: nn.Module) -> dict[str, Any] | None:
    encoder = _encoder(model)
    return None if encoder is None or isinstance(encoder.dense_path, str) else encoder.dense_path


def _canvas(steps: list[Any], model: nn.Module) -> str | None:
    words = []
    for step in steps:
        options = {key: value for key in _GEOMETRY if (value := getattr(step, key, None)) is not None}
        if "size" in options:  # of a subclass, which works the rest out of it
            options = dict(size=options["size"])
        if shown := ", ".join(f"{key}={value}" for key, value in options.items()):
            words.append(f"{type(step).__name__}({shown})")
    divisor = getattr(getattr(model, "data_preprocessor", None), "pad_size_divisor", 1)
    words += [f"padded to multiples of {divisor}"] if divisor and divisor > 1 else []
    if (side := getattr(model, "input_size", None)) is not None:  # CAT-Seg resizes every view
        words.append(f"views of {side}")
    inference = getattr(model, "test_cfg", None)
    if isinstance(inference, Mapping) and "mode" in inference:
        words.append(
            ", ".join(f"{k} {v}" for k, v in inference.items() if k in ("mode", "size", "crop_size", "stride"))
        )
    return ", ".join(dict.fromkeys(words)) or None


def _image_interpolation(steps: list[Any]) -> str | None:
    for step in steps:
        for resize in (step, getattr(step, "resize", None)):  # mmseg's ResizeShortestEdge holds mmcv's Resize
            if (interpolation := getattr(resize, "interpolation", None)) is not None:
                return _with_antialias(interpolation, getattr(resize, "antialias", False))
    return None


def _mask_interpolation(steps: list[Any]) -> str | None:
    for index, step in enumerate(steps):
        if hasattr(step, "mask_interpolation"):
            return _with_antialias(step.mask_interpolation, step.antialias)
        if isinstance(step, LoadAnnotations) and step.with_seg:
            resized = _image_interpolation(steps[index:]) is not None
            return "nearest" if resized else "none, label maps keep their size"
    return None


def _with_antialias(interpolation: str, antialias: bool) -> str:
    return f"{interpolation}, antialiased" if antialias else interpolation
