import numpy as np
import pytest

from densevlm_mm.evaluation.class_groups import ClassGroups
from densevlm_mm.vocabulary import Vocabulary


def seen(classes: tuple[str, ...], train_vocabulary: str | list[str], vocabulary: str | None = None) -> list[bool]:
    groups = ClassGroups.of(classes, vocabulary=vocabulary).with_seen(train_vocabulary)
    assert groups.is_seen is not None
    return groups.is_seen.tolist()


def test_seen_by_exact_name_or_synonym_only() -> None:
    assert seen(("House, HOME", "wall", "sky "), ["home", "wall-brick", "Sky"]) == [True, False, True]


def test_seen_in_every_spelling() -> None:
    classes = ("alarm_clock", "Building, Edifice", "bat (wood, baseball)", "bow (weapon)")
    trained = ["Alarm clock", "edifice.", "bat_(wood, baseball)", "bow (decorative ribbons)"]
    assert seen(classes, trained) == [True, True, True, False]


def test_ade_classes_seen_in_coco_stuff() -> None:
    ade, coco = Vocabulary.load("ade20k_150"), Vocabulary.load("coco_stuff_171")
    flags = seen(ade.classes, "coco_stuff_171", "ade20k_150")
    found = {name.strip() for name, flag in zip(ade.classes, flags, strict=True) if flag}
    assert found == {name.strip() for name in ade.classes} & set(coco.classes)  # mmseg's names have no synonyms
    assert {"bed", "car", "sea"} <= found
    assert "wall" not in found
    groups = ClassGroups.of(ade.classes, vocabulary="ade20k_150")
    assert groups.is_thing is not None
    assert groups.is_thing.sum() == 100


def test_the_vocabulary_may_have_another_order_and_spelling_than_the_data_set() -> None:
    named = Vocabulary.load("tiny_scenes")
    order = np.random.default_rng(0).permutation(len(named))
    groups = ClassGroups.of(tuple(named.classes[row].title() for row in order), vocabulary="tiny_scenes")
    assert groups.is_thing is not None
    assert groups.is_thing.tolist() == named.thing_mask[order].tolist()
    assert groups.synonyms == tuple(named.synonyms[row] for row in order)


def test_other_vocabulary_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"'ade20k_150' \(150 classes\) of the metric is not .* \(2 classes\): .*'unicorn'"
    ):
        ClassGroups.of(("wall", "unicorn"), vocabulary="ade20k_150")
    classes = list(Vocabulary.load("tiny_scenes").classes)
    classes[3] = "aeroplane"
    with pytest.raises(ValueError, match="aeroplane"):
        ClassGroups.of(tuple(classes), vocabulary="tiny_scenes")


def test_figures_are_over_present_classes() -> None:
    flags = dict(is_thing=np.array([1, 1, 0, 0], bool), is_seen=np.array([1, 0, 0, 0], bool))
    groups = ClassGroups(tuple("abcd"), **flags)
    iou = np.array([50.0, np.nan, 0.0, 20.0])
    figures = groups.figures(iou, np.array([True, False, False, True]))
    assert figures == dict(
        mIoU_present=35.0,
        mIoU_all=70 / 4,
        num_present=2.0,
        mIoU_things=50.0,
        mIoU_stuff=20.0,
        mIoU_seen=50.0,
        num_seen=1.0,
        mIoU_unseen=20.0,
        num_unseen=1.0,
    )


def test_both_published_figures_of_pc459() -> None:
    """A published SAN has 16.71 over the 345 classes with ground truth and 12.56 over all 459."""
    present = np.arange(459) < 345
    figures = ClassGroups(tuple(map(str, range(459)))).figures(np.where(present, 16.71, 0.0), present)
    assert figures["mIoU_present"] == pytest.approx(16.71)
    assert round(figures["mIoU_all"], 2) == 12.56


def test_group_without_present_class_has_no_figure() -> None:
    groups = ClassGroups(("a", "b"), is_seen=np.array([True, False]))
    figures = groups.figures(np.array([10.0, np.nan]), np.array([True, False]))
    assert "mIoU_unseen" not in figures
    assert figures["num_unseen"] == 0
    assert "mIoU_things" not in figures
