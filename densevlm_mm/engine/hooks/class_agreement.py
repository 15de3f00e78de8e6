"""The classes of a model and of its data, compared before the first step."""

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.registry import HOOKS
from densevlm_mm.vocabulary.class_matching import renumbering


@HOOKS.register_module()
class ClassAgreementHook(Hook):
    """Refuse to train or validate a model whose vocabulary is not that of the data.

    Labels are places in the data set's list of classes, columns of an open-vocabulary model places in its vocabulary.
    In training the two must be one list, in whatever spelling: another order would teach wrong names in silence. In
    validation the order may differ, which the metrics know how to mend, but the classes may not; that is said before
    training and not after its first epoch. Models that do not tell their classes (``training_classes()``,
    ``predicted_classes()``) and data sets without classes are not compared.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare the classes.

        Raises:
            ValueError: If they differ; names the first class that does.
        """
        model = unwrap_model(runner.model)
        trained, data = _names(model, "training_classes"), _classes_of(runner.train_dataloader)
        if trained and data:
            check_training_classes(data, trained)
        if runner.val_loop is not None and not _only_writes(runner.val_evaluator):
            predicted, data = _names(model, "predicted_classes"), _classes_of(runner.val_dataloader)
            if predicted and data:
                check_predicted_classes(data, predicted)


def check_training_classes(data: Sequence[str], vocabulary: Sequence[str]) -> None:
    """Check that labels mean the same to the data and to the model.

    Args:
        data: Classes of the training data, in the order of their labels.
        vocabulary: Classes of the model, in the order of its columns.

    Raises:
        ValueError: If not.
    """
    fix = (
        "give the data set metainfo=dict(classes=...) in the order of the model's training vocabulary, or the model "
        "the data set's classes as its vocabulary"
    )
    try:
        numbering = renumbering(data, vocabulary)
    except ValueError as error:
        raise ValueError(f"the classes of the training data and of the model differ ({error}): {fix}") from error
    if numbering is not None:
        label = next(label for label, column in enumerate(numbering) if label != column)
        raise ValueError(
            f"the training data and the model have their classes in different orders: {data[label]!r} is label {label} "
            f"of the data and class {numbering[label]} of the model: {fix}"
        )


def check_predicted_classes(data: Sequence[str], vocabulary: Sequence[str]) -> None:
    """Check that predictions over a vocabulary can be compared with ground truth.

    Args:
        data: Classes of the validation data.
        vocabulary: Classes that the model predicts, in any order.

    Raises:
        ValueError: If not.
    """
    try:
        renumbering(vocabulary, data)
    except ValueError as error:
        raise ValueError(
            f"the model predicts other classes than the validation data has ({error}): choose the vocabulary that the "
            "model is tested with (test_vocabulary, test_class_embeddings.vocabulary) for this data"
        ) from error


def _names(model: Any, method: str) -> Sequence[str] | None:
    return getattr(model, method)() if hasattr(model, method) else None


def _classes_of(dataloader: Any) -> Sequence[str] | None:
    return getattr(dataloader.dataset, "metainfo", {}).get("classes")


def _only_writes(evaluator: Any) -> bool:
    return all(getattr(metric, "format_only", False) for metric in evaluator.metrics)
