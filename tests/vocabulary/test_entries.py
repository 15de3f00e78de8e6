from typing import Any

import pytest

from densevlm_mm.vocabulary.entries import check_list_of_names, parse_entries
from densevlm_mm.vocabulary.text_files import parse_lines


def test_names_and_objects_may_be_mixed_and_keep_their_spelling() -> None:
    entries = parse_entries(
        "f", ["bat (wood, baseball)", {"name": "Boat", "synonyms": ["boat", " ship", "boat"], "id": 7}]
    )
    assert entries.classes == ("bat (wood, baseball)", "Boat")
    assert entries.synonyms == (("bat (wood, baseball)",), ("boat", "ship"))
    assert entries.is_thing is None


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"0": "boat"}, "the classes are dict, not a list"),
        ("boat", "the classes are str, not a list"),
        (["boat", ["car"]], r"class 1 has no name: \['car'\]"),
        ([{"name": None}], "class 0 has no name"),
        ([{"name": "boat", "isThing": 1}], "class 0 .* has 'isThing': is 'isthing' meant"),
        ([{"name": "boat", "synonym": ["ship"]}], "is 'synonyms' meant"),
        ([{"name": "boat", "synonyms": "boat, ship"}], "synonyms of 'boat' are 'boat, ship', not a list"),
        ([{"name": "boat", "synonyms": [1]}], "not a list of names"),
        ([{"name": "boat", "isthing": "yes"}], "isthing of 'boat' is 'yes'"),
        (["bat (wood, baseball"], "a bracket that is not closed"),
    ],
)
def test_wrong_entries_are_named_with_their_file(classes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_entries("vocabulary file own.json", classes)


def check(text: str) -> None:
    lines = parse_lines(text.encode(), "names.txt")
    check_list_of_names("vocabulary file names.txt", lines, "write one name a line")


@pytest.mark.parametrize(
    "text",
    [
        "boat\nprice $x_{2$\n",
        "boat, ship\ncar, auto\n",
        "7 up\n3 musketeers\n",
        "bat (wood, baseball)\n",
        "bus 1\nbus 2\n",
    ],
)
def test_a_name_a_line(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no classes"),
        ("# boat\n\n", "holds no classes"),
        (
            ", ".join(f"class{i}" for i in range(1000)),
            r"'class0, class1, .* is 1000 names, either as many classes or synonyms",
        ),
        ("boat;car;cow", "'boat;car;cow' is 3 names"),
        ("name,isthing\nboat,1\nsky,0\n", "a table, column 2 holds numbers"),
        ("1\tboat\n2\tcar\n", "a table, '1.tboat' holds a tab"),
        ("0: boat\n1: car\n2: cow\n", "they are numbered, such as '0: boat'"),
        ('{"classes": ["boat"]}', "looks like JSON"),
        ("<!DOCTYPE html>\n<html>\n", "looks like a web page"),
        ("<html><body>404", "looks like a web page"),
    ],
)
def test_other_files_are_refused_with_the_fix(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"vocabulary file names\.txt.*{message}.*one name a line|{message}"):
        check(text)
