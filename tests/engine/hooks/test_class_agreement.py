from types import SimpleNamespace

import pytest

from densevlm_mm.engine.hooks import ClassAgreementHook
from densevlm_mm.engine.hooks.class_agreement import check_predicted_classes, check_training_classes

CLASSES = ("boat", "alarm_clock", "sky")


def run(train: tuple, val: tuple | None = CLASSES, format_only: bool = False, **methods) -> None:
    """Start a training on data of these classes with a model that tells CLASSES."""
    told = dict(training_classes=lambda: CLASSES, predicted_classes=lambda: CLASSES) | methods
    loaders = [SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=each))) for each in (train, val)]
    ClassAgreementHook().before_train(
        SimpleNamespace(
            model=SimpleNamespace(**told),
            train_dataloader=loaders[0],
            val_dataloader=loaders[1],
            val_loop=None if val is None else object(),
            val_evaluator=SimpleNamespace(metrics=[SimpleNamespace(format_only=format_only)]),
        )
    )


def test_one_list_in_any_spelling_trains() -> None:
    run(("Boat", "Alarm clock", "sky."))
    run(CLASSES, ("sky", "boat", "alarm clock"))  # the metrics put the order of a validation right


def test_another_order_would_teach_wrong_names() -> None:
    with pytest.raises(ValueError, match=r"'sky' is label 1 of the data and class 2 of the model: give the data set"):
        run(("boat", "sky", "alarm clock"))


@pytest.mark.parametrize(
    ("train", "message"),
    [(("boat", "sky"), "2 names for 3 classes"), (("sky", "boat", "kite"), r"cannot be matched by name: .*'kite'")],
)
def test_other_classes_are_refused_before_the_first_step(train: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=rf"classes of the training data and of the model differ .*{message}"):
        check_training_classes(train, CLASSES)


def test_a_validation_over_other_classes_is_refused_before_training() -> None:
    with pytest.raises(ValueError, match=r"predicts other classes than the validation data has \(3 names for 2"):
        run(CLASSES, ("boat", "sky"))
    with pytest.raises(ValueError, match=r"'boat' is number 0 of one list and 1 of the other.*'alarm_clock'"):
        check_predicted_classes(("sky", "boat", "kite"), CLASSES)
    run(CLASSES, ("boat", "sky"), format_only=True)
    run(CLASSES, None)


def test_models_and_data_that_tell_no_classes_are_not_compared() -> None:
    run((), ())
    run(("kite",), ("kite",), training_classes=lambda: (), predicted_classes=lambda: ())
