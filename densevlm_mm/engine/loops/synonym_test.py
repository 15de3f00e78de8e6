"""A test over two vocabularies: the data set's names, and synonyms of them."""

import copy
import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

import torch
from mmengine.evaluator import DumpResults, Evaluator
from mmengine.evaluator.metric import BaseMetric
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner, TestLoop, autocast
from mmengine.structures import BaseDataElement
from torch import nn

from densevlm_mm.engine.hooks.prepare_classes import prepare_classes
from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.evaluation.class_table import WritesClassTable
from densevlm_mm.registry import LOOPS
from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.synonyms import SynonymSource, SynonymVocabulary

# Counts, the place of an optimum, and what text has no part in.
_WITHOUT_TEXT = ("num_", "coherence", "offset_control_offset")


@LOOPS.register_module()
class SynonymTestLoop(TestLoop):
    """Test a model over its vocabulary and, in the same pass over the images, over synonyms of its classes.

    Labels, thing flags, base and novel classes stay; only the names in the prompts are others. Figures of the synonyms
    are logged beside the first ones with the drop; they are ``synonyms/...`` among the figures of the test, and
    ``synonyms`` in the files of ``tools/test.py --out FILE.json``, see :class:`EvaluationRecordHook`. A per-class table
    ``FILE.csv`` has a second one beside it, ``FILE_synonyms.csv``. Pictures and predictions are of the first names.

    Images are decoded once. Where classes are compared with the features of an image (region classification) they are
    also encoded once; detectors and segmentors run twice, with one set of weights.

    Args:
        runner: As in ``TestLoop``.
        dataloader: As in ``TestLoop``.
        evaluator: As in ``TestLoop``.
        synonyms: See :meth:`SynonymVocabulary.of`.
        fp16: As in ``TestLoop``.

    Raises:
        FileNotFoundError: If there is no such file of synonyms.
        ValueError: If the synonyms do not fit the vocabulary, or the model cannot predict over another one. Raised
            before the first image, as all else that is wrong with them.

    Example:
        >>> test_cfg = dict(type='densevlm_mm.SynonymTestLoop', synonyms='synonyms.json')
    """

    def __init__(
        self, runner: Runner, dataloader: Any, evaluator: Any, synonyms: SynonymSource, fp16: bool = False
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        self.synonyms = synonyms
        self.vocabulary = SynonymVocabulary.of(vocabulary_of_predictions(unwrap_model(runner.model)), synonyms)
        self.comparison: dict[str, Any] | None = None
        # Before the first results: the two share ground truth and settings, and nothing that a test collects.
        self.second_evaluator = Evaluator([_twin_metric(metric) for metric in _measuring(self.evaluator.metrics)])

    def run(self) -> dict[str, Any]:
        """Launch the test."""
        say_vocabulary(self.runner, self.vocabulary)
        self._second = _second_look(self.runner.model, self.vocabulary)
        try:
            return self._run()
        finally:
            self._second.close()

    def _run(self) -> dict[str, Any]:
        for metric in self.second_evaluator.metrics:
            if isinstance(metric, WritesClassTable):
                metric.evaluation = dict(classes=dict(vocabulary=self.vocabulary.name), synonyms=self.synonyms)
        self.runner.call_hook("before_test")
        self.runner.call_hook("before_test_epoch")
        self.runner.model.eval()
        for index, batch in enumerate(self.dataloader):
            self._both(index, batch)
        size = len(self.dataloader.dataset)
        first = self.evaluator.evaluate(size)
        self.runner.logger.info("and by synonyms:")
        second = self.second_evaluator.evaluate(size)
        figures = compare_figures(first, second)
        self.comparison = dict(
            synonyms=self.synonyms,
            num_replaced=len(self.vocabulary.replaced),
            kept_names=self.vocabulary.kept,
            figures=figures,
        )
        self.runner.logger.info(describe_comparison(figures))
        metrics = {**first, **{f"synonyms/{name}": row["synonyms"] for name, row in figures.items()}}
        self.runner.call_hook("after_test_epoch", metrics=metrics)
        self.runner.call_hook("after_test")
        return metrics

    @torch.no_grad()
    def _both(self, index: int, batch: Any) -> None:
        again = self._second.batch(batch)  # models write into the samples
        self.runner.call_hook("before_test_iter", batch_idx=index, data_batch=batch)
        with autocast(enabled=self.fp16):
            outputs = self.runner.model.test_step(batch)
        self.evaluator.process(data_samples=outputs, data_batch=batch)
        self.runner.call_hook("after_test_iter", batch_idx=index, data_batch=batch, outputs=outputs)
        with autocast(enabled=self.fp16):
            second = self._second.predict(again, outputs)
        self.second_evaluator.process(data_samples=second, data_batch=batch)


class _SecondLook(Protocol):
    """Where the predictions by synonyms come from."""

    def batch(self, batch: Any) -> Any:
        """What the second prediction needs of a batch that the first one has not been given yet."""

    def predict(self, batch: Any, outputs: Sequence[Any]) -> Sequence[Any]:
        """Predict."""

    def close(self) -> None:
        """Leave the model as it was."""


class _SameFeatures:
    """Of a model that classifies the same features over two vocabularies."""

    def __init__(self, model: Any, vocabulary: Vocabulary) -> None:
        self._model = model
        model.compare_vocabulary(vocabulary)

    def batch(self, batch: Any) -> None:
        return None

    def predict(self, batch: Any, outputs: Sequence[Any]) -> Sequence[Any]:
        seconds = []
        for sample in outputs:
            second = sample.new()
            second.pred_regions = sample.compared_regions
            seconds.append(second)
        return seconds

    def close(self) -> None:
        self._model.compare_vocabulary(None)


class _TwinModel:
    """Of a copy that shares the model's weights and has the other vocabulary."""

    def __init__(self, model: Any, vocabulary: Vocabulary) -> None:
        inner = unwrap_model(model)
        if not hasattr(inner, "set_vocabulary"):
            raise ValueError(f"{type(inner).__name__} has no vocabulary, its classes are fixed: it has no synonyms")
        # Test-time augmentation is copied too, what makes it one of several processes is not.
        while is_model_wrapper(model) and not isinstance(model, BaseTTAModel):
            model = model.module
        shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
        self._twin = copy.deepcopy(model, shared).eval()
        unwrap_model(self._twin).set_vocabulary(vocabulary)
        prepare_classes(self._twin, training=False)

    def batch(self, batch: Any) -> Any:
        return _fresh(batch)

    def predict(self, batch: Any, outputs: Sequence[Any]) -> Sequence[Any]:
        return self._twin.test_step(batch)

    def close(self) -> None:
        del self._twin


def _second_look(model: nn.Module, vocabulary: Vocabulary) -> _SecondLook:
    inner = unwrap_model(model)
    return _SameFeatures(inner, vocabulary) if hasattr(inner, "compare_vocabulary") else _TwinModel(model, vocabulary)


def vocabulary_of_predictions(model: Any) -> Vocabulary:
    """The vocabulary that a model predicts over, with the names of its prompts where the model tells them.

    Args:
        model: With ``predicted_vocabulary``, or at least ``predicted_classes``, see :class:`OpenVocabularyModel`.

    Raises:
        ValueError: If it has neither.
    """
    if hasattr(model, "predicted_vocabulary"):
        return model.predicted_vocabulary()
    if hasattr(model, "predicted_classes"):
        return Vocabulary.load(list(model.predicted_classes()))
    raise ValueError(f"{type(model).__name__} has no vocabulary, its classes are fixed: it has no synonyms")


def say_vocabulary(runner: Runner, vocabulary: SynonymVocabulary) -> None:
    """Log how many classes have other names, and which have not."""
    text = f"{vocabulary.name}: {len(vocabulary.replaced)} of {len(vocabulary)} classes are asked for by other names"
    if kept := vocabulary.kept:
        text += f"; {len(kept)} keep theirs ({', '.join(kept[:8])}{', ...' if len(kept) > 8 else ''})"
    if dropped := vocabulary.dropped:
        text += f"; {len(dropped)} synonyms are left out, being names of other classes ({', '.join(dropped[:8])}"
        text += ", ...)" if len(dropped) > 8 else ")"
    runner.logger.info(text)


def compare_figures(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Figures of two tests side by side: ``names``, ``synonyms`` and ``drop``, the first less the second.

    Args:
        first: Figures by key.
        second: The same of the synonyms. Counts, texts, and what text has no part in are left out, and groups without
            a class, whose figures are not a number or, of an AP, -1.
    """
    rows = {}
    for key, value in first.items():
        other, name = second.get(key), key.rpartition("/")[2]
        if name.startswith(_WITHOUT_TEXT) or not isinstance(value, int | float) or not isinstance(other, int | float):
            continue
        if all(math.isfinite(number) and number != -1 for number in (value, other)):
            rows[key] = dict(names=float(value), synonyms=float(other), drop=float(value - other))
    return rows


def describe_comparison(figures: Mapping[str, Mapping[str, float]]) -> str:
    """The figures as a table."""
    width = max(map(len, figures), default=0)
    lines = [f"{'':{width}}{'names':>10}{'synonyms':>10}{'drop':>10}"]
    for key, row in figures.items():
        digits = 4 if all(abs(row[name]) <= 1 for name in ("names", "synonyms")) else 2  # AP is a fraction
        lines.append(f"{key:{width}}" + "".join(f"{row[name]:10.{digits}f}" for name in ("names", "synonyms", "drop")))
    return "synonyms in the place of the class names:\n" + "\n".join(lines)


def _measuring(metrics: Sequence[BaseMetric]) -> list[BaseMetric]:
    """The metrics that give figures; those that write predictions write the first ones."""
    return [each for each in metrics if not isinstance(each, DumpResults) and not getattr(each, "format_only", False)]


def _twin_metric(metric: BaseMetric) -> BaseMetric:
    twin: Any = copy.copy(metric)
    twin.results = []
    if getattr(twin, "outfile_prefix", None):
        twin.outfile_prefix = f"{twin.outfile_prefix}_synonyms"
    if getattr(twin, "_label_maps", None) is not None:
        twin._label_maps = None  # of the first names
    return twin


def _fresh(node: Any) -> Any:
    """A batch with new data samples around the same tensors."""
    if isinstance(node, BaseDataElement):
        return node.new()
    if isinstance(node, Mapping):
        return {key: _fresh(value) for key, value in node.items()}
    return [_fresh(value) for value in node] if isinstance(node, list | tuple) else node
