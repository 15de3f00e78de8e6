import pytest

from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.class_matching import match_classes

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
