import numpy as np
import pytest

from densevlm_mm.evaluation.class_groups import ClassGroups, normalized_names
from densevlm_mm.vocabulary import Vocabulary


def test_names_are_compared_by_synonym_in_lower_case() -> None:
    assert normalized_names(["Building, Edifice ", "sky"]) == {"building", "edifice", "sky"}


def test_seen_by_exact_name_or_synonym_only() -> None:
    groups = ClassGroups.of(("House, HOME", "wall", "sky "), train_vocabulary=["home", "wall-brick", "Sky"])
    assert groups.is_seen is not None
    assert groups.is_seen.tolist() == [True, False, True]


def test_ade_classes_seen_in_coco_stuff() -> None:
    ade, coco = Vocabulary.load("ade20k_150"), Vocabulary.load("coco_stuff_171")
    groups = ClassGroups.of(ade.classes, vocabulary="ade20k_150", train_vocabulary="coco_stuff_171")
    seen = {name.strip() for name, flag in zip(ade.classes, groups.is_seen, strict=True) if flag}  # type: ignore[arg-type]
    assert seen == {name.strip() for name in ade.classes} & set(coco.classes)  # mmseg's names have no synonyms
    assert {"bed", "car", "sea"} <= seen
    assert "wall" not in seen
    assert groups.is_thing is not None
    assert groups.is_thing.sum() == 100


def test_other_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'ade20k_150' \(150 classes\) of the metric is not .* \(2 classes\)"):
        ClassGroups.of(("wall", "sky"), vocabulary="ade20k_150")
    classes = list(Vocabulary.load("tiny_scenes").classes)
    classes[3] = "aeroplane"
    with pytest.raises(ValueError, match="aeroplane"):
        ClassGroups.of(tuple(classes), vocabulary="tiny_scenes")


def test_figures_are_over_present_classes() -> None:
    groups = ClassGroups(tuple("abcd"), np.array([1, 1, 0, 0], bool), np.array([1, 0, 0, 0], bool))
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
