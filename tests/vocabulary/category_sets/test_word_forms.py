import pytest

from densevlm_mm.vocabulary.category_sets import merge_plurals, normalize_word


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("  A  Dog.", "dog"),
        ("the_traffic  light", "traffic light"),
        ("T-Shirt", "t-shirt"),
        ("anchor", "anchor"),
        ('"some grass"', "grass"),
        ("...", ""),
        ("the", "the"),
    ],
)
def test_one_spelling(word: str, expected: str) -> None:
    assert normalize_word(word) == expected


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("dogs", "dog"),
        ("boxes", "box"),
        ("horses", "horse"),
        ("berries", "berry"),
        ("shelves", "shelf"),
        ("knives", "knife"),
        ("leaves", "leaf"),
        ("snowmen", "snowman"),
        ("women", "woman"),
        ("people", "person"),
        ("traffic lights", "traffic light"),
        ("glasses", "glass"),
    ],
)
def test_a_plural_joins_a_singular_that_occurs(plural: str, singular: str) -> None:
    assert merge_plurals([plural, singular, "sky"]) == {plural: singular}


@pytest.mark.parametrize("word", ["dogs", "lens", "scissors", "grass", "bus", "gas"])
def test_no_singular_is_made_up(word: str) -> None:
    assert merge_plurals([word, "sky", "gra", "bu", "ga"]) == {}
