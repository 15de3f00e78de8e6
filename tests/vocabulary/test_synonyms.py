import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.synonyms import SynonymVocabulary, packaged_synonyms
from densevlm_mm.vocabulary.vocabulary import vocabulary_dir

FIRST = Vocabulary(
    "first",
    ("boat", "building, edifice", "Car", "sky"),
    (("boat",), ("building", "edifice"), ("Car",), ("sky",)),
    np.array([True, True, True, False]),
)


def write(path: Path, content: object) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_classes_keep_their_labels_and_flags_and_get_other_prompts() -> None:
    second = SynonymVocabulary.of(FIRST, {"boat": "ship, vessel", "car": ["automobile"]})
    assert second.classes == FIRST.classes
    assert second.thing_mask.tolist() == FIRST.thing_mask.tolist()
    assert second.kept == ["building, edifice", "sky"]
    kept = ("building", "edifice")
    assert second.prompt_names("all") == (("ship", "vessel"), kept, ("automobile",), ("sky",))
    assert second.prompt_names("first") == (("ship",), ("building",), ("automobile",), ("sky",))
    joined = (("ship, vessel",), ("building, edifice",), ("automobile",), ("sky",))
    assert second.prompt_names("joined") == joined
    assert second.with_extra_classes(["background"]).prompt_names("joined") == (*joined, ("background",))


def test_a_table_may_be_a_text_file_a_json_or_an_annotation_file(tmp_path) -> None:
    expected = ("ship", "vessel")
    text = write(tmp_path / "a.txt", "# mine\nboat: ship, vessel\ncar: automobile\n")
    table = write(tmp_path / "b.json", {"boat": ["ship", "vessel"], "car": "automobile"})
    categories = [
        dict(id=1, name="boat", synonyms=["boat", "ship", "vessel"]),
        dict(id=2, name="unknown", synonyms=["x"]),
    ]
    lvis = write(tmp_path / "c.json", {"categories": categories})
    for source in (text, table, lvis):
        assert SynonymVocabulary.of(FIRST, source).prompt_names()[0] == expected


def test_a_second_vocabulary_goes_class_by_class(tmp_path) -> None:
    listed = write(tmp_path / "a.txt", "ship\nhouse\nCar\nheavens\n")
    second = SynonymVocabulary.of(FIRST, listed)
    assert second.prompt_names() == (("ship",), ("house",), ("Car",), ("heavens",))
    assert second.kept == ["Car"]
    with pytest.raises(ValueError, match=r"has 3 classes, 'first' has 4: synonyms go class by class"):
        SynonymVocabulary.of(FIRST, write(tmp_path / "b.txt", "ship\nhouse\ncoach\n"))
    swapped = [dict(name=name, isthing=flag) for name, flag in (("a", 1), ("b", 1), ("c", 0), ("d", 1))]
    with pytest.raises(ValueError, match=r"class 2 is 'Car' of 'first' and 'c' .* one of them is a thing"):
        SynonymVocabulary.of(FIRST, write(tmp_path / "c.json", {"classes": swapped}))


def test_names_behind_the_comma_are_synonyms_already_there() -> None:
    second = SynonymVocabulary.of(FIRST, "own")
    assert second.prompt_names() == (("boat",), ("edifice",), ("Car",), ("sky",))
    assert len(second.kept) == 3


def test_names_of_other_classes_are_left_out_of_a_source_and_refused_in_a_table(tmp_path) -> None:
    lvis = write(tmp_path / "a.json", {"categories": [dict(name="boat", synonyms=["ship", "edifice", "car"])]})
    second = SynonymVocabulary.of(FIRST, lvis)
    assert second.prompt_names()[0] == ("ship",)
    assert second.dropped == ("edifice", "car")
    with pytest.raises(ValueError, match=r"'CAR' is to stand for 'boat', but is a name of 'Car' too"):
        SynonymVocabulary.of(FIRST, {"boat": ["ship", "CAR"]})
    with pytest.raises(ValueError, match=r"'ship' is to stand for 'boat', but is a name of 'sky' too"):
        SynonymVocabulary.of(FIRST, {"boat": "ship", "sky": "ship"})


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ({"baot": "ship"}, "'baot' is no class of 'first'; close to it: 'boat'"),
        ({"ship": "boat"}, "'ship' is no class of 'first', but 'boat' is: the class comes first"),
        ({"boat": 3}, "synonyms of 'boat' are 3, not a name or a list"),
        ({"boat": " "}, "is empty"),
        ({"boat": "BOAT."}, "gives no class of 'first' another name"),
        ({"Boat": "ship", "boat": "vessel"}, "'boat' is named twice"),
        ("nonsense", r"unknown synonyms 'nonsense': give 'own', a packaged table \['tiny_scenes'\]"),
    ],
)
def test_what_is_wrong_is_said(source, problem) -> None:
    with pytest.raises(ValueError, match=problem) as error:
        SynonymVocabulary.of(FIRST, source)
    assert "\n" not in str(error.value)


def test_a_packaged_vocabulary_stands_in_for_another_one() -> None:
    second = SynonymVocabulary.of(Vocabulary.load("ade20k_150"), "ade20k_150_d2")
    assert second.prompt_names()[second.classes.index("road")] == ("route",)
    assert "ground" in second.dropped  # of ADE20K's earth and its land


def test_wrong_files_are_said(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json does not exist"):
        SynonymVocabulary.of(FIRST, "nowhere.json")
    with pytest.raises(ValueError, match="'sky' is not of the form NAME: SYNONYM"):
        SynonymVocabulary.of(FIRST, write(tmp_path / "a.txt", "boat: ship\nsky\n"))
    with pytest.raises(ValueError, match="'boat: vessel' names a class for the second time"):
        SynonymVocabulary.of(FIRST, write(tmp_path / "b.txt", "boat: ship\nboat: vessel\n"))
    with pytest.raises(ValueError, match="have no 'synonyms'; LVIS"):
        SynonymVocabulary.of(FIRST, write(tmp_path / "c.json", {"categories": [dict(name="boat")]}))


def test_a_name_of_a_thing_and_of_a_stuff_class_is_renamed_in_both() -> None:
    both = Vocabulary("both", ("fruit", "fruit"), (("fruit",), ("fruit",)), np.array([True, False]))
    assert SynonymVocabulary.of(both, {"fruit": "produce"}).prompt_names() == (("produce",), ("produce",))


@pytest.mark.parametrize("name", ["tiny_scenes", "ov_tiny_scenes_20", "tiny_scenes_seen_24"])
def test_tiny_scenes_has_synonyms_for_most_classes(name) -> None:
    assert packaged_synonyms() == ["tiny_scenes"]
    table = json.loads((vocabulary_dir().parent / "synonym_tables/tiny_scenes.json").read_text())
    first = Vocabulary.load(name)
    second = SynonymVocabulary.of(first, "tiny_scenes")
    assert second.kept == [cls for cls in first.classes if cls not in table]
    assert 0 < len(second.kept) < len(first) / 2


@pytest.mark.parametrize("name", ["ade20k_150_d2", "ade20k_847"])
def test_ade20k_names_its_own_synonyms(name) -> None:
    first = Vocabulary.load(name)
    count = Counter(synonym for names in first.synonyms for synonym in set(names))
    expected = {
        index
        for index, names in enumerate(first.synonyms)
        if any(count[synonym] == 1 and synonym not in first.classes for synonym in names[1:])
    }
    assert SynonymVocabulary.of(first, "own").replaced == expected
    assert len(expected) > len(first) / 5
