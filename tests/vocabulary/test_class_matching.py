import pytest

from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.class_matching import ClassFinder, match_classes, renumbering

CLASSES = ("building, edifice", "fruit", "Sky", "fruit", "house, building")
FLAGS = (True, True, False, False, True)


def test_whole_names_go_before_synonyms_and_case_does_not_count() -> None:
    assert match_classes(["sky ", "edifice", "house, Building"], None, CLASSES, FLAGS) == [2, 0, 4]


def test_a_name_that_is_thing_and_stuff_needs_its_flag() -> None:
    assert match_classes(["fruit", "fruit"], [False, True], CLASSES, FLAGS) == [3, 1]
    with pytest.raises(ValueError, match=r"'fruit' fits 2 classes .* isthing"):
        match_classes(["fruit"], None, CLASSES, FLAGS)


def test_a_first_synonym_goes_before_others() -> None:
    assert match_classes(["dog"], None, ("andiron, dog", "dog, domestic dog"), None) == [1]


def test_a_synonym_of_two_classes_is_ambiguous() -> None:
    with pytest.raises(ValueError, match="'roof' fits 2 classes"):
        match_classes(["roof"], [True], ("house, roof", "building, roof"), (True, True))


def test_an_unknown_name_is_named_with_close_classes() -> None:
    with pytest.raises(ValueError, match=r"'edifices' is not among the 5 classes; close to it: 'building, edifice'"):
        match_classes(["edifices"], None, CLASSES, FLAGS)


def test_coco_things_are_found_in_the_papers_set() -> None:
    coco, paper = Vocabulary.load("coco_panoptic_133"), Vocabulary.load("set_316")
    things = coco.classes[:80]
    found = match_classes(things, coco.thing_mask[:80].tolist(), paper.classes, paper.thing_mask)
    assert len(set(found)) == 80
    assert all(things[i] in paper.synonyms[index] for i, index in enumerate(found))


def test_names_are_found_in_every_spelling() -> None:
    classes = (
        "alarm_clock",
        "bow_(weapon)",
        "bow_(decorative_ribbons)",
        "wall-brick",
        "crab_(animal)",
        "bat (wood, old)",
    )
    names = ["Alarm clock", "BOW (weapon)", "bow [decorative ribbons]", "wall brick", "bat (Wood, old)."]
    assert match_classes(names, None, classes, None) == [0, 1, 2, 3, 5]
    for name in ("wall", "bow", "crab"):  # near is not the same
        with pytest.raises(ValueError, match=f"'{name}' is not among"):
            match_classes([name], None, classes, None)
    assert ClassFinder(classes).find_bare("Crab") == [4]
    assert ClassFinder(classes).find_bare("bow") == [1, 2]
    assert ClassFinder(classes).find_bare("bow (weapon)") == [1]
    assert ClassFinder(["crab"]).find_bare("crab (animal)") == []


def test_lists_of_the_same_classes_are_renumbered_by_name() -> None:
    assert renumbering(["sky", "Boat", "sea, ocean"], ("boat", "ocean", "sky")) == [2, 0, 1]
    assert renumbering(["Boat", "ocean", "sky"], ("boat", "sea, ocean", "sky")) is None
    assert renumbering(["ship", "ocean", "sky"], ("boat", "ocean", "sky")) is None  # another word at its place
    with pytest.raises(ValueError, match=r"'ocean' is number 0 of one list and 1 of the other.*'ship'"):
        renumbering(["ocean", "ship", "sky"], ("boat", "ocean", "sky"))
    with pytest.raises(ValueError, match="2 names for 3 classes"):
        renumbering(["ocean", "sky"], ("boat", "ocean", "sky"))


def test_ade_is_in_one_order_under_both_of_its_lists_of_names() -> None:
    ours, theirs = Vocabulary.load("ade20k_150"), Vocabulary.load("ade20k_150_d2")
    assert renumbering(theirs.classes, ours.classes) is None
    assert renumbering(ours.classes, theirs.classes, theirs.synonyms) is None
